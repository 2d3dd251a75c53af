"""stvr index: a library of videos, described so that it can be asked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stvr.commands import Device, Weights, done, exit_telling, tell_doubts, usable


def index(
    library: Annotated[
        list[str],
        typer.Argument(help="Videos, folders of them, lists (.txt), s3://BUCKET/PREFIX/, or one feature store.",
                       show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="The folder of the index.", show_default=False)],
    store: Annotated[
        str | None,
        typer.Option(help="The feature store: read, and extracted into.", show_default="features.zarr in the index"),
    ] = None,
    composition: Annotated[
        str | None,
        typer.Option(help="windows, grid, tubes or several joined by +; whiten; nnn; flat or faiss. Kept with the "
                          "index.", show_default="tubes,whiten,nnn,flat"),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(help="A trained head that will be asked: its features are extracted.", show_default=False),
    ] = None,
    weights: Weights = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that share the videos; actors with ray.",
                     show_default="1, on a GPU as many as cores"),
    ] = None,
    engine: Annotated[str, typer.Option(help="local, or ray for the cluster at RAY_ADDRESS.")] = "local",
    retry: Annotated[bool, typer.Option("--retry", help="Try files again that an earlier run found broken.")] = False,
    device: Device = "cpu",
) -> None:
    """Describe a library of videos, so that it can be asked with `stvr search`. Stopped, it goes on where it was.

    A second run adds what is new and drops what is gone. What stands still or shows nothing is left out, and counted.
    """
    from stvr.library import build_index

    built = build_index(
        library, out, head=checkpoint, weights=weights, store=store, composition=composition, workers=workers,
        engine=engine, device=usable(device), retry=retry,
    )  # fmt: skip
    left_out = f"{built.still_seconds:.0f} s that stand still and {built.blank_seconds:.0f} s that are blank left out"
    done(out, f"{built.num_videos} videos of {built.seconds:.0f} s in {built.num_rows} rows ({len(built.added)} new, "
              f"{len(built.dropped)} dropped, {len(built.failed)} failed); {left_out}")
    tell_doubts(built.doubtful)
    exit_telling(built.failed)
