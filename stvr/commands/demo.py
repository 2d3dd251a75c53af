"""stvr demo: everything once, on a synthetic world."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stvr.commands import Seed, done


def demo(
    out: Annotated[Path, typer.Option(help="The folder for everything it makes.")] = Path("demo"),
    seed: Seed = 0,
) -> None:
    """Run everything once on a synthetic world: synth, extract, train, eval, locate, and one HTML report."""
    from stvr.jobs.demo import demo as run_demo

    done(run_demo(out, seed=seed), "open the report in a browser")
