"""stvr demo: everything once, on a synthetic world."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stvr.commands import Seed, done


def demo(
    out: Annotated[Path, typer.Option(help="Where everything goes.")] = Path("demo"),
    size: Annotated[str, typer.Option(help="tiny: minutes on two cores; small: longer; full: for a GPU.")] = "tiny",
    steps: Annotated[int | None, typer.Option(min=1, help="Of training; fitted to the size if not given.")] = None,
    seed: Seed = 0,
) -> None:
    """Run everything once on a synthetic world: synth, extract, train, eval, locate, and one HTML report."""
    from stvr.jobs.demo import demo as run_demo

    done(run_demo(out, seed=seed, size=size, steps=steps), "open the report in a browser")
