"""What `stvr train` and `stvr finetune` share: their options, and how steps are told."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from stvr.commands import usable

RunFolder = Annotated[Path, typer.Option(help="The folder of the run.", show_default=False)]
Config = Annotated[Path | None, typer.Option(help="Options in a TOML file; flags win.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where a run was stopped.")]
Steps = Annotated[int | None, typer.Option(min=1, help="How many steps in all.")]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Pairs a step, of all processes together.")]
Rate = Annotated[float | None, typer.Option(help="Learning rate.")]
Optimizer = Annotated[str | None, typer.Option(help="sgd or adamw.")]
Schedule = Annotated[str | None, typer.Option(help="step or cosine.")]
Precision = Annotated[str | None, typer.Option(help="float32, or bfloat16 by autocast.")]
Compiled = Annotated[bool, typer.Option("--compiled", help="Compile the propagation's steps; a slow first step.")]
Average = Annotated[float | None, typer.Option(help="Save a running average of the weights with this decay.")]
Flip = Annotated[str | None, typer.Option(help="Mirror query and reference: auto (where both views are), on or off.")]
Windows = Annotated[str | None, typer.Option(help="Training references: context as in tests, or targets alone.")]
Batching = Annotated[str | None, typer.Option(help="mixed, or by_length: queries of like length together.")]
Board = Annotated[bool, typer.Option("--tensorboard", help="Log for TensorBoard too (an extra).")]
TrainSeed = Annotated[int | None, typer.Option(min=0, help="The same seed gives the same result.")]


@contextmanager
def processes(device: str, what: str) -> Iterator[tuple[str, Any]]:
    """This process's device, and how it tells of steps: of several processes the first one alone does."""
    from stvr import parallel
    from stvr.progress import shown_steps

    with parallel.joined(device) as own_device, shown_steps(what) as tell:
        yield usable(own_device), None if parallel.rank() else tell


def say_what_begins(out: Path, resume: bool) -> None:
    if resume and not out.exists():
        print(f"stvr: there is no run in {out} yet: it begins with the first step", file=sys.stderr)


def say_steps(steps: int, steps_now: int, losses: Mapping[str, float]) -> str:
    figures = ", ".join(f"{name} {value:.3g}" for name, value in losses.items()) or "nothing left to do"
    return f"{steps} steps, {steps_now} of them now; {figures}"
