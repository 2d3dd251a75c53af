"""The backbone in the loop: from frames to the head's losses, starting from a frozen-backbone run."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recompute

from stvr import parallel
from stvr.backbones import I3D
from stvr.backbones.analytic import analytic_state
from stvr.backbones.i3d import scale
from stvr.backbones.taps import MEAN, deepest, endpoint_of, state_up_to
from stvr.backbones.weights.load import digest, load_state, load_weights, save_weights
from stvr.backbones.weights.named import ANALYTIC, weights_file
from stvr.config import fill
from stvr.extract.flow import flow_of
from stvr.extract.frames import FrameReader
from stvr.heads import HEADS, Head
from stvr.heads.checkpoint import BACKBONE_FILE, HEAD_FILE, Checkpoint, load_head, save_head, weights_beside
from stvr.jobs.train import provenance
from stvr.store import FeatureSpec, as_maps, as_stored
from stvr.structures import Batch
from stvr.tasks.pairs.dataset import EachRead, Item, TrainingBatches, item_of
from stvr.tasks.pairs.draws import Draw
from stvr.tasks.pairs.training import PairDraws, draw_pairs, training_pairs
from stvr.training.loop import LoopOptions, Tell, run_loop
from stvr.training.number_units import fast_units, with_precision
from stvr.training.one_step import Trainee, losses_of
from stvr.training.runs import Run
from stvr.video_names import names_of

CLIPS_AT_ONCE = 2  # through the backbone: one float32 clip alone takes torch's slow convolution on a CPU
MEASURED_FROM = 1_000_000_000  # the number of the first batch on which a run is measured: none that it trains on


class FinetuneOptions(LoopOptions, PairDraws):
    """How backbone and head are trained together, on pairs."""

    steps: int = Field(default=2_000, ge=1)
    lr: float = Field(default=0.0003, gt=0)  # where the program is after 20,000 steps
    milestones: tuple[int, ...] = ()
    from_layer: str = "Conv3d_1a_7x7"  # the first layer of the backbone that trains
    backbone_lr_share: float = Field(default=1.0, ge=0)  # of lr
    checkpointing: bool = True  # layers are computed twice in place of being remembered
    measured_batches: int = Field(default=8, ge=0)  # on which the loss of the frozen run and of this one are told
    save_every: int = Field(default=50, ge=1)
    log_every: int = Field(default=1, ge=1)


PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "small": {
        "steps": 40, "batch_size": 2, "optimizer": "adamw", "lr": 2e-5, "weight_decay": 0.01, "warmup_steps": 4,
        "from_layer": "Mixed_4b", "window_seconds": 4 / 3, "max_query_seconds": 2.0, "save_every": 10,
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class FinetuneReport:
    """Where the run lies, steps in all and in this call.

    loss_before, loss_after: the total loss of the frozen run and of this one on the same batches. peak_bytes: of
    memory, resident on a CPU, allocated on a GPU.
    """

    run: Path
    steps: int
    steps_now: int
    losses: Mapping[str, float]
    loss_before: float | None
    loss_after: float | None
    peak_bytes: int


def finetune_options(
    preset: str = "paper", file: Path | None = None, flags: Mapping[str, Any] | None = None
) -> FinetuneOptions:
    """Options from a preset, a TOML file and flags; flags win."""
    if preset not in PRESETS:
        raise ValueError(f"{preset!r} is no preset. The presets are: {', '.join(PRESETS)}.")
    return fill(FinetuneOptions, PRESETS[preset], file, flags)


def finetune(
    checkpoint_path: Path,
    videos: Sequence[Path],
    pairs_path: Path,
    out: Path,
    options: FinetuneOptions,
    *,
    weights: Path | str | None = None,
    flow_weights: Path | None = None,
    resume: bool = False,
    device: str = "cpu",
    report: Tell | None = None,
) -> FinetuneReport:
    """Trains backbone and head on frames; leaves head.safetensors, backbone.safetensors, state and log in `out`.

    checkpoint_path: of a frozen-backbone run, which says how clips are cut and which weights made its features;
    `weights` is the file of those, unless they were analytic or fetched by name. Resumes as `train` does. The features
    of the new backbone are others than those of the old one: extract anew with --weights OUT/backbone.safetensors
    before `stvr eval`.
    """
    loaded, options = load_head(checkpoint_path), with_precision(options, device)
    entry, name = HEADS[loaded.options.name], loaded.options.name
    if entry.task != "pairs":
        raise ValueError(f"the head {name!r} learns from {entry.task}, and only one that learns from pairs can be "
                         "finetuned. Train it on cached features with `stvr train`.")
    reads = entry.reads(loaded.options)
    flow = flow_of(loaded.spec, flow_weights, device) if reads.flow else None
    reader = FrameReader(names_of(videos), loaded.spec, flow)
    pairs = training_pairs(pairs_path, reader)
    backbone = trainable_backbone(loaded.spec, weights_beside(loaded, weights))
    loaded.head.compile_steps(options.compiled)
    trainee = FromFrames(backbone, loaded.head, options, loaded.spec.endpoints).to(device)
    draws = draw_pairs(pairs, options, options.seed, loaded.spec.clip, flip=options.flip != "off")
    batches = TrainingBatches(draws, EachRead(partial(read_frames, reader)), (parallel.rank(), parallel.world_size()))
    begun = {"checkpoint": str(checkpoint_path), "checkpoint_made_by": dict(loaded.provenance)}
    made_by = {**provenance(options, loaded.spec, len(pairs), pairs_path), **begun}
    run = Run(out, made_by, options.log_every, options.tensorboard)
    run.begin(resume)
    trainee.train()
    before = measured(trainee, batches, options, device)

    def write(trained: nn.Module, step: int) -> None:
        save_both(out, cast(FromFrames, trained), loaded, {**run.made_by, "step": step})

    with fast_units(device, options.deterministic):
        steps_now, losses = run_loop(trainee, batches, options, run, write, device, report)
    after = measured(trainee, batches, options, device)
    return FinetuneReport(out, options.steps, steps_now, losses, before, after, peak_memory(device))


class FromFrames(Trainee):
    """A batch whose reference and query are frames (B, T, F, S, S, 3) uint8 -> the head's losses.

    Of the backbone the layers from `from_layer` on train, their convolutions and the offsets of their batch norms; the
    statistics of batch norm stay as published (the program). Layers before it are run without a gradient.
    """

    def __init__(self, backbone: I3D, head: Head, options: FinetuneOptions, endpoints: Sequence[str]) -> None:
        super().__init__()
        self.endpoints = tuple(endpoints)
        names = [name for name, _ in backbone.named_children()]
        if options.from_layer not in names:
            raise LookupError(f"{options.from_layer!r} is no layer of the backbone. It has: {', '.join(names)}.")
        self.backbone = backbone.to(memory_format=torch.channels_last_3d).requires_grad_(False)
        self.backbone.lr_share = options.backbone_lr_share  # type: ignore[assignment]
        self.head, self.checkpointing = head, options.checkpointing
        self.first = names.index(options.from_layer)
        for layer in list(backbone)[self.first :]:
            for name, parameter in layer.named_parameters():
                parameter.requires_grad_(not name.endswith("bn.weight"))  # the published network has no gain

    def train(self, mode: bool = True) -> FromFrames:
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        seen = replace(
            batch,
            references=self.features(batch.reference, batch.reference_mask),
            queries=self.features(batch.query, batch.query_mask),
        )
        return losses_of(self.head, seen)

    def features(self, frames: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """frames (B, T, F, S, S, 3) uint8, mask (B, T) -> maps (B, T, H, W, time * C) by endpoint, zero on padding."""
        parts = [self.maps(clips) for clips in frames[mask].split(CLIPS_AT_ONCE)]
        found = {}
        for endpoint in self.endpoints:
            maps = torch.cat([part[endpoint] for part in parts])
            found[endpoint] = maps.new_zeros(*mask.shape, *maps.shape[1:])
            found[endpoint][mask] = maps
        return found

    def maps(self, clips: Tensor) -> dict[str, Tensor]:
        """(N, F, S, S, 3) uint8 -> (N, H, W, time * C) float32 by endpoint, time-major."""
        x, found = scale(clips), {}
        for number, (name, layer) in enumerate(self.backbone.named_children()):
            with torch.set_grad_enabled(torch.is_grad_enabled() and number >= self.first):
                trains = number >= self.first and self.checkpointing
                x = recompute(layer, x, use_reentrant=False) if trains else layer(x)
            if endpoint_of(name) in self.endpoints:
                found[endpoint_of(name)] = as_maps(as_stored(x.movedim(1, -1)))
        return found


def trainable_backbone(spec: FeatureSpec, weights: Path | str | None) -> I3D:
    """The backbone that made the features of `spec`, as it can be trained. ValueError when the weights are others."""
    if spec.backbone != "i3d":
        raise ValueError(f"finetuning trains I3D, but the head reads features of {spec.backbone!r}. "
                         "Train a head on features of I3D first.")
    if pooled := [name for name in spec.endpoints if name.endswith(MEAN)]:
        raise ValueError(f"finetuning trains on maps, but the head reads {', '.join(pooled)}. "
                         "Train a head on maps first.")
    if spec.clip.context != "clip":
        raise ValueError("finetuning trains on clips by themselves, but the head reads features in the context of "
                         "their video. Train a head on a store of --context clip first.")
    backbone = I3D(deepest(spec.endpoints))
    if weights is None and spec.weights != ANALYTIC:
        raise ValueError(f"the head reads features that were made with the weights {spec.weights!r}. "
                         "Give that file with --weights.")
    if (file := weights_file(weights)) is None:
        load_state(backbone, analytic_state(backbone), ANALYTIC)
    else:
        load_weights(backbone, file)
    if (came := digests(backbone, spec)) != spec.weights_digest:
        raise ValueError(f"the head reads features of the weights {spec.weights!r} ({spec.weights_digest[:19]}), "
                         f"but {weights or 'analytic ones'} are others ({came[:19]}). Give those with --weights.")
    return backbone


def digests(backbone: I3D, spec: FeatureSpec) -> str:
    """Of the weights up to each endpoint of the spec, as a spec has them."""
    return ",".join(digest(state_up_to(backbone, name)) for name in spec.endpoints)


def read_frames(reader: FrameReader, draw: Draw) -> Item:
    """A drawn pair with the frames of its two spans in place of maps."""
    reference, flow = reader.read(draw.pair.reference, draw.flip_reference)
    query, _ = reader.read(draw.pair.query.span, draw.flip_query)
    frames = {"frames": reference}, {"frames": query}
    return item_of(draw.pair, *frames, flow, draw.flip_reference, draw.flip_query)


@torch.no_grad()
def measured(trainee: FromFrames, batches: TrainingBatches, options: FinetuneOptions, device: str) -> float | None:
    """The mean total loss on batches that are the same before and after; samples and windows are theirs, not chance."""
    if not options.measured_batches:
        return None
    totals = []
    for number in range(MEASURED_FROM, MEASURED_FROM + options.measured_batches):
        losses = trainee(batches(number).to(device))
        totals.append(torch.stack(list(losses.values())).sum())
    return float(parallel.mean(torch.stack(totals).mean()))


def save_both(out: Path, trained: FromFrames, loaded: Checkpoint, made_by: Mapping[str, Any]) -> None:
    """The backbone first: a head never names weights that are not there."""
    save_weights(trained.backbone, out / BACKBONE_FILE)
    spec = replace(loaded.spec, weights=BACKBONE_FILE, weights_digest=digests(trained.backbone, loaded.spec))
    save_head(out / HEAD_FILE, trained.head, loaded.options, spec, made_by)


def peak_memory(device: str) -> int:
    """Bytes, of this process."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
