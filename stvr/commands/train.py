"""stvr train: a head on cached features."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from stvr.commands import Device, Pairs, Store, done, options_of, usable


def train(
    store: Store,
    pairs: Pairs,
    out: Annotated[Path, typer.Option(help="The folder of the run.", show_default=False)],
    frozen_backbone: Annotated[bool, typer.Option("--frozen-backbone", help="On cached features; the default.")] = True,
    head: Annotated[str | None, typer.Option(help="A name on the menu of heads.")] = None,
    propagation: Annotated[str | None, typer.Option(help="none, conv_lstm, traj_lstm or warp_lstm.")] = None,
    preset: Annotated[str, typer.Option(help="paper: its sizes and schedule. small: two cores.")] = "paper",
    config: Annotated[Path | None, typer.Option(help="Options in a TOML file; flags win.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a run was stopped.")] = False,
    steps: Annotated[int | None, typer.Option(min=1, help="How many steps in all.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Pairs a step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="sgd or adamw.")] = None,
    schedule: Annotated[str | None, typer.Option(help="step or cosine.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="The same seed gives the same result.")] = None,
    device: Device = "cpu",
) -> None:
    """Stage two: train a head on cached features."""
    from stvr.progress import shown_steps
    from stvr.train import train as run_train
    from stvr.train import train_options

    chosen = options_of(name=head, propagation=propagation)
    flags = options_of(steps=steps, batch_size=batch_size, lr=lr, optimizer=optimizer, schedule=schedule, seed=seed)
    options = train_options(preset, config, {**flags, **({"head": chosen} if chosen else {})})
    if resume and not out.exists():
        print(f"stvr: there is no run in {out} yet: it begins with the first step", file=sys.stderr)
    with shown_steps("training") as tell:
        report = run_train(store, pairs, out, options, resume=resume, device=usable(device), report=tell)
    losses = ", ".join(f"{name} {value:.3g}" for name, value in report.losses.items()) or "nothing left to do"
    done(out / "head.safetensors", f"{report.steps} steps, {report.steps_now} of them now; {losses}")
