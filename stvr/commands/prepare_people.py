"""stvr prepare people: AVA's files -> people.csv."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from stvr.commands import done


def people(
    labels: Annotated[Path, typer.Option(help="The label map (.pbtxt): its classes count.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The file of people to write (.csv).", show_default=False)],
    train: Annotated[list[Path] | None, typer.Option(help="AVA-format CSV files whose videos train.")] = None,
    val: Annotated[list[Path] | None, typer.Option(help="The same, of videos that validate.")] = None,
    test: Annotated[list[Path] | None, typer.Option(help="The same, of videos that test.")] = None,
    excluded: Annotated[list[Path] | None, typer.Option(help="Excluded timestamps (.csv).")] = None,
    offset_seconds: Annotated[
        int, typer.Option(min=0, help="900 if the videos were cut to AVA's fifteen minutes.")
    ] = 0,
    at: Annotated[
        float, typer.Option(help="When in its second a box was drawn: 0 in AVA, 0.5 in the world of `stvr synth`.")
    ] = 0.0,
) -> None:
    """AVA's CSV files -> people.csv, as `stvr train --head step` takes it: everybody at every keyframe, by split."""
    from stvr.tasks.people.prepare import prepare_people

    files = {name: paths for name, paths in (("train", train), ("val", val), ("test", test)) if paths}
    if not files:
        raise ValueError("there is nothing to read. Name files with --train, --val and --test.")
    counts, left_out = prepare_people(files, labels, out, excluded=excluded or (), offset_seconds=offset_seconds,
                                      at=at)  # fmt: skip
    for each in left_out:
        print(f"stvr: {each}", file=sys.stderr)
    done(out, "keyframes: " + ", ".join(f"{split} {count}" for split, count in counts.items()))
