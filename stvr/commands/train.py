"""stvr train: a head on cached features."""

from __future__ import annotations

from typing import Annotated

import typer

from stvr.commands import Device, Pairs, Store, done, options_of
from stvr.commands.training import (
    Average,
    Batching,
    BatchSize,
    Board,
    Compiled,
    Config,
    Flip,
    Optimizer,
    Precision,
    Rate,
    Resume,
    RunFolder,
    Schedule,
    Steps,
    TrainSeed,
    Windows,
    processes,
    say_steps,
    say_what_begins,
)


def train(
    store: Store,
    pairs: Pairs,
    out: RunFolder,
    frozen_backbone: Annotated[bool, typer.Option("--frozen-backbone", help="On cached features; the default.")] = True,
    head: Annotated[str | None, typer.Option(help="A name on the menu of heads.")] = None,
    propagation: Annotated[
        str | None, typer.Option(help="none, conv_lstm, flow, traj_lstm, warp_lstm, or one that is installed.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="paper: its sizes and schedule, the default. small: two cores.")
    ] = None,
    config: Config = None,
    resume: Resume = False,
    steps: Steps = None,
    batch_size: BatchSize = None,
    lr: Rate = None,
    optimizer: Optimizer = None,
    schedule: Schedule = None,
    precision: Precision = None,
    compiled: Compiled = False,
    ema: Average = None,
    flip: Flip = None,
    windows: Windows = None,
    batching: Batching = None,
    tensorboard: Board = False,
    seed: TrainSeed = None,
    device: Device = "cpu",
) -> None:
    """Stage two: train a head on cached features. Under torchrun, several processes share every batch."""
    from stvr.jobs.train import train as run_train
    from stvr.jobs.train import train_options

    chosen = options_of(name=head, propagation=options_of(name=propagation) or None)
    flags = options_of(
        steps=steps, batch_size=batch_size, lr=lr, optimizer=optimizer, schedule=schedule, precision=precision,
        ema=ema, flip=flip, windows=windows, batching=batching, tensorboard=tensorboard or None, seed=seed,
        compiled=compiled or None,
    )  # fmt: skip
    options = train_options(preset, config, {**flags, **({"head": chosen} if chosen else {})})
    say_what_begins(out, resume)
    with processes(device, "training") as (own_device, tell):
        report = run_train(store, pairs, out, options, resume=resume, device=own_device, report=tell)
        if tell:
            done(out / "head.safetensors", say_steps(report.steps, report.steps_now, report.losses))
