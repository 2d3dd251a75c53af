"""stvr demo, stvr synth and stvr info: the whole job, a world to try it on, what a file holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stvr.commands import Seed, done


def demo(
    out: Annotated[Path, typer.Option(help="Where everything goes.")] = Path("demo"),
    seed: Seed = 0,
) -> None:
    """The whole job on a world that it makes itself: synth, extract, train, eval, locate, one HTML report."""
    from stvr.demo import demo as run_demo

    done(run_demo(out, seed=seed), "open the report in a browser")


def synth(
    out: Annotated[Path, typer.Argument(help="A new folder.", show_default=False)],
    size: Annotated[str, typer.Option(help="tiny, or small.")] = "small",
    seed: Seed = 0,
    workers: Annotated[int | None, typer.Option(help="Processes; every core if not given.")] = None,
) -> None:
    """Write the synthetic action world: mp4 files and AVA-format annotations."""
    from stvr.data.synthetic import write_world

    write_world(out, size=size, seed=seed, workers=workers)
    done(out, "videos, train.csv, test.csv, actions.pbtxt, held_out.txt")


def info(
    path: Annotated[Path, typer.Argument(help="A store, a checkpoint, a run, or a pairs file.", show_default=False)],
) -> None:
    """What is in a store, a checkpoint or a pairs file, as JSON."""
    import json

    from stvr.info import describe

    print(json.dumps(describe(path), indent=1))
