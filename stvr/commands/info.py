"""stvr info: what a file or a store holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def info(
    path: Annotated[
        Path, typer.Argument(help="A store, a checkpoint, a run, a pairs file or a video.", show_default=False)
    ],
) -> None:
    """Show what is in a store, a checkpoint, a pairs file or a video, as JSON."""
    import json

    from stvr.jobs.info import describe

    print(json.dumps(describe(path), indent=1))
