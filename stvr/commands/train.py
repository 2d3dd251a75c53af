"""stvr train and stvr finetune: a head on cached features, and the backbone with it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from stvr.commands import CheckpointFile, Device, Pairs, Store, Weights, done, options_of, usable, video_files

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


def train(
    store: Store,
    pairs: Pairs,
    out: RunFolder,
    frozen_backbone: Annotated[bool, typer.Option("--frozen-backbone", help="On cached features; the default.")] = True,
    head: Annotated[str | None, typer.Option(help="A name on the menu of heads.")] = None,
    propagation: Annotated[
        str | None, typer.Option(help="none, conv_lstm, flow, traj_lstm or warp_lstm.")
    ] = None,
    preset: Annotated[str, typer.Option(help="paper: its sizes and schedule. small: two cores.")] = "paper",
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
    from stvr.train import train as run_train
    from stvr.train import train_options

    chosen = options_of(name=head, propagation=propagation)
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


def finetune(
    checkpoint: CheckpointFile,
    videos: Annotated[Path, typer.Option(help="The folder of the video files.", show_default=False)],
    pairs: Pairs,
    out: RunFolder,
    weights: Weights = None,
    flow_weights: Annotated[Path | None, typer.Option(help="RAFT's, where the head was trained on its flow.")] = None,
    preset: Annotated[str, typer.Option(help="paper: every layer. small: two cores, from Mixed_4b on.")] = "paper",
    from_layer: Annotated[str | None, typer.Option(help="The first layer of the backbone that trains.")] = None,
    checkpointing: Annotated[
        bool | None, typer.Option(help="Compute layers twice in place of remembering them.")
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
    """The backbone in the loop: from frames, starting from the head of a frozen-backbone run."""
    from stvr.finetune import finetune as run_finetune
    from stvr.finetune import finetune_options

    flags = options_of(
        from_layer=from_layer, checkpointing=checkpointing, steps=steps, batch_size=batch_size, lr=lr,
        optimizer=optimizer, schedule=schedule, precision=precision, ema=ema, flip=flip, windows=windows,
        batching=batching, tensorboard=tensorboard or None, seed=seed,
        compiled=compiled or None,
    )  # fmt: skip
    options = finetune_options(preset, config, flags)
    say_what_begins(out, resume)
    with processes(device, "finetuning") as (own_device, tell):
        report = run_finetune(
            checkpoint, video_files([videos]), pairs, out, options, weights=weights, flow_weights=flow_weights,
            resume=resume, device=own_device, report=tell,
        )  # fmt: skip
        if tell:
            if report.loss_before is not None:
                print(f"loss on {options.measured_batches} batches: {report.loss_before:.4f} of the frozen run, "
                      f"{report.loss_after:.4f} now; peak memory {report.peak_bytes / 2**30:.2f} GiB")
            done(out, f"head.safetensors and backbone.safetensors, "
                      f"{say_steps(report.steps, report.steps_now, report.losses)}")
            print(f"stvr: the features of this backbone are others: extract anew with --weights "
                  f"{out / 'backbone.safetensors'} before `stvr eval`", file=sys.stderr)
