"""stvr finetune: the backbone in the loop."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from stvr.commands import CheckpointFile, Device, FlowWeights, Pairs, Weights, done, options_of, video_files
from stvr.commands.run_options import Config, Resume, RunFolder, processes, say_steps, with_run_options


@with_run_options
def finetune(
    checkpoint: CheckpointFile,
    videos: Annotated[Path, typer.Option(help="The folder of the video files.", show_default=False)],
    pairs: Pairs,
    out: RunFolder,
    flags: Mapping[str, Any],
    weights: Weights = None,
    flow_weights: FlowWeights = None,
    preset: Annotated[str, typer.Option(help="paper: every layer. small: two cores, from Mixed_4b on.")] = "paper",
    from_layer: Annotated[str | None, typer.Option(help="The first layer of the backbone that trains.")] = None,
    checkpointing: Annotated[bool | None, typer.Option(help="Compute layers twice, to save memory.")] = None,
    config: Config = None,
    resume: Resume = False,
    device: Device = "cpu",
) -> None:
    """Train head and backbone together, from frames, starting from the head of a frozen-backbone run."""
    from stvr.jobs.finetune import finetune as run_finetune
    from stvr.jobs.finetune import finetune_options

    own = options_of(from_layer=from_layer, checkpointing=checkpointing)
    options = finetune_options(preset, config, {**flags, **own})
    with processes(device, out, resume, "finetuning") as (own_device, show):
        report = run_finetune(
            checkpoint, video_files([videos]), pairs, out, options, weights=weights, flow_weights=flow_weights,
            resume=resume, device=own_device, report=show,
        )  # fmt: skip
        if show:
            if report.loss_before is not None:
                print(f"loss on {options.measured_batches} batches: {report.loss_before:.4f} after the frozen run, "
                      f"{report.loss_after:.4f} now; peak memory {report.peak_bytes / 2**30:.2f} GiB")
            done(out, f"head.safetensors and backbone.safetensors, "
                      f"{say_steps(report.steps, report.steps_now, report.losses)}")
            print(f"stvr: this backbone makes other features: extract again with --weights "
                  f"{out / 'backbone.safetensors'} before `stvr eval`", file=sys.stderr)
