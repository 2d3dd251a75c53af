"""Stage two: train a head on cached features."""

from __future__ import annotations

import hashlib
import logging
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

import stvr
from stvr import parallel
from stvr.config import fill
from stvr.heads import PRESETS as HEAD_PRESETS
from stvr.heads import HeadOptions, MatchingHead, build_head
from stvr.heads.checkpoint import HEAD_FILE, save_head
from stvr.store import FeatureSpec, FeatureStore
from stvr.structures import Batch, Pair, Span
from stvr.tasks.pairs.dataset import HasClips, Item, TrainingBatches, lacking, read_item, read_maps, read_pairs_for
from stvr.tasks.pairs.draws import Draw, Draws
from stvr.training.loop import LoopOptions, Tell, Trainee, flips, run_loop
from stvr.training.runs import LOG_FILE as LOG_FILE
from stvr.training.runs import Run

CALIBRATION_SPANS = 64  # spans of the training references from which the adapter measures its channels


class TrainOptions(LoopOptions):
    """How a head is trained on cached features; the defaults are the released program's."""

    head: HeadOptions = HeadOptions()


PRESETS: dict[str, dict[str, Any]] = {
    "paper": {"head": HEAD_PRESETS["paper"]},
    "small": {
        "head": HEAD_PRESETS["small"], "steps": 350, "batch_size": 12, "optimizer": "adamw", "lr": 1e-3,
        "weight_decay": 0.01, "schedule": "cosine", "warmup_steps": 25, "window_seconds": 4 / 3,
        "max_query_seconds": 2.0, "save_every": 50,
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TrainReport:
    """Where the run lies, the steps done in all and in this call, the losses of the last step."""

    run: Path
    steps: int
    steps_now: int
    losses: Mapping[str, float]


def train_options(
    preset: str = "paper", file: Path | None = None, flags: Mapping[str, Any] | None = None
) -> TrainOptions:
    """Options from a preset, a TOML file and flags; flags win."""
    if preset not in PRESETS:
        raise ValueError(f"{preset!r} is no preset. The presets are: {', '.join(PRESETS)}.")
    return fill(TrainOptions, PRESETS[preset], file, flags)


def train(
    store_path: Path,
    pairs_path: Path,
    out: Path,
    options: TrainOptions,
    *,
    resume: bool = False,
    device: str = "cpu",
    report: Tell | None = None,
) -> TrainReport:
    """Trains on the pairs of split "train" and leaves head, state, log and configuration in the folder `out`.

    Pairs whose clips are not all in the store are left out, which a warning tells. Killed at any moment and called
    again with `resume`, it goes on from the last saved state and ends with the same weights, bit for bit, as an
    unbroken run on the same machine. Under torchrun the processes share every batch; the first one writes.
    report(step, steps, figures) is told of every step.
    """
    store = FeatureStore.open(store_path)
    pairs = training_pairs(pairs_path, store)
    options = fit_to_store(options, store, pairs)
    flip = flips(options, store.spec.flipped, "Extract the videos with `stvr extract --flip`")
    torch.manual_seed(options.seed)
    head = build_head(options.head)
    if head.propagation.needs_flow and store.spec.flow == "none":
        raise ValueError(f"the propagation {options.head.propagation!r} reads optical flow, but {store} has none. "
                         "Extract the videos with `stvr extract --flow ilk` into another --store.")
    batches = training_batches(pairs, store, options, flip)
    made_by = {**provenance(options, store.spec, pairs, pairs_path), "store": str(store.path)}
    run = Run(out, made_by, options.log_every, options.tensorboard)
    run.begin(resume)
    calibrate(head, store, pairs, options.seed)
    head.to(device).train()

    def write(trainee: nn.Module, step: int) -> None:
        trained = cast(HeadLosses, trainee).head
        save_head(out / HEAD_FILE, trained, options.head, store.spec, {**run.made_by, "step": step})

    steps_now, losses = run_loop(HeadLosses(head), batches.__getitem__, options, run, write, device, report)
    return TrainReport(out, options.steps, steps_now, losses)


class HeadLosses(Trainee):
    """A batch of cached features -> the head's losses."""

    def __init__(self, head: MatchingHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return self.head.losses(self.head(batch), batch)


def training_pairs(path: Path, store: FeatureStore) -> list[Pair]:
    """The pairs of split "train" whose clips are all in the store."""
    return usable_pairs([pair for pair in read_pairs_for(path, store)[0] if pair.split == "train"], path, store)


def usable_pairs(pairs: list[Pair], path: Path, source: HasClips) -> list[Pair]:
    """Those whose clips are all in `source`; a warning tells of the others. LookupError when there are none."""
    if not pairs:
        raise ValueError(f"there is no training pair: {path} has none with split 'train'.")
    reasons = lacking(pairs, source)
    if reasons:
        first = next(iter(reasons.values()))
        said = f"{len(reasons)} of {len(pairs)} training pairs need clips that are not there: {first}"
        if len(reasons) == len(pairs):
            raise LookupError(f"{said}. {source.how_to_add}.")
        logging.getLogger("stvr").warning("%s. They are left out.", said)
    return [pair for index, pair in enumerate(pairs) if index not in reasons]


def fit_to_store(options: TrainOptions, store: FeatureStore, pairs: list[Pair]) -> TrainOptions:
    """The options with the number of channels that the stored maps have, and the scale that they ask for."""
    if store.spec.endpoint != MatchingHead.endpoint:
        raise ValueError(f"the head {options.head.name!r} reads {MatchingHead.endpoint}, but the store holds "
                         f"{store.spec.endpoint}. Extract with --endpoint {MatchingHead.endpoint}.")
    first = pairs[0].reference
    channels = read_maps(store, Span(first.video, first.start, first.start + 1)).shape[-1]
    fitted: dict[str, Any] = {"feature_channels": channels}
    if options.head.feature_scale == "auto":
        fitted["feature_scale"] = "rms" if store.spec.weights == "analytic" else "none"
    return options.model_copy(update={"head": options.head.model_copy(update=fitted)})


def training_batches(
    pairs: list[Pair], store: FeatureStore, options: TrainOptions, flip: bool
) -> TrainingBatches:
    draws = draw_pairs(pairs, options, float(store.spec.clip.clips_per_second), flip)
    return TrainingBatches(draws, partial(read_drawn, store), (parallel.rank(), parallel.world_size()))


def draw_pairs(pairs: list[Pair], options: LoopOptions, clips_per_second: float, flip: bool) -> Draws:
    return Draws(
        pairs, batch_size=options.batch_size, window=max(1, round(options.window_seconds * clips_per_second)),
        windows=options.windows, max_query=max(1, round(options.max_query_seconds * clips_per_second)),
        seed=options.seed, flip=flip, batching=options.batching,
    )  # fmt: skip


def read_drawn(store: FeatureStore, draw: Draw) -> Item:
    return read_item(store, draw.pair, draw.flip_reference, draw.flip_query)


def calibrate(head: MatchingHead, store: FeatureStore, pairs: list[Pair], seed: int) -> None:
    """Lets an adapter that wants it measure the channels on training features."""
    measure = getattr(head.adapter, "calibrate", None)
    if measure is None:
        return
    order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(seed))[:CALIBRATION_SPANS]
    spans = [pairs[int(index)].reference for index in order]
    measure(torch.cat([read_maps(store, Span(s.video, s.start, min(s.stop, s.start + 4))) for s in spans]))


def provenance(options: LoopOptions, spec: FeatureSpec, pairs: list[Pair], pairs_path: Path) -> dict[str, Any]:
    """Config, versions and digests that make what is trained."""
    return {
        "train": options.model_dump(mode="json"),
        "spec": spec.to_json(),
        "pairs": str(pairs_path),
        "pairs_digest": f"sha256:{hashlib.sha256(pairs_path.read_bytes()).hexdigest()}",
        "num_pairs": len(pairs),
        "versions": {"stvr": stvr.__version__, "torch": torch.__version__, "python": platform.python_version()},
    }
