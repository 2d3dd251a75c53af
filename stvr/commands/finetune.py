"""stvr finetune: the backbone in the loop."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from stvr.commands import CheckpointFile, Device, Pairs, Weights, done, options_of, video_files
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
    from stvr.jobs.finetune import finetune as run_finetune
    from stvr.jobs.finetune import finetune_options

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
