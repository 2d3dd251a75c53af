"""The option `proposals` of a head, checked when it is given."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from stvr.heads.proposal_sources import Sources


def on_the_menu(proposals: str) -> str:
    Sources.of(proposals)
    return proposals


Proposals = Annotated[str, AfterValidator(on_the_menu)]
