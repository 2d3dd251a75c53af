"""stvr info: what a file or a store holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def info(
    path: Annotated[
        Path, typer.Argument(help="A store, an index, a checkpoint, a run, a pairs file, a video.", show_default=False)
    ],
) -> None:
    """Show what is in a store, an index, a checkpoint, a pairs file or a video, as JSON."""
    import json

    from stvr.jobs.info import describe
    from stvr.library import describe_index, is_index

    print(json.dumps(describe_index(path) if is_index(path) else describe(path), indent=1))
