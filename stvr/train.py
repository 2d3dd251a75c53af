"""Stage two: train a head on cached features."""

from __future__ import annotations

import hashlib
import logging
import math
import platform
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field

import stvr
from stvr.config import Options, fill
from stvr.data.dataset import TrainingBatches, lacking, read_maps, read_pairs_for
from stvr.heads import PRESETS as HEAD_PRESETS
from stvr.heads import HeadOptions, MatchingHead, build_head
from stvr.runs import LOG_FILE as LOG_FILE
from stvr.runs import Run
from stvr.store import FeatureStore
from stvr.structures import Batch, Pair, Span

CALIBRATION_SPANS = 64  # spans of the training references from which the adapter measures its channels


class TrainOptions(Options):
    """How a head is trained; the defaults are the released program's."""

    head: HeadOptions = HeadOptions()
    steps: int = Field(default=30_000, ge=1)
    batch_size: int = Field(default=8, ge=1)  # Feng et al. 2019, section 6
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(default=0.03, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    schedule: Literal["step", "cosine"] = "step"
    milestones: tuple[int, ...] = (10_000, 20_000)  # a tenth each time; the second one is the program's alone
    warmup_steps: int = Field(default=0, ge=0)
    clip_norm: float = Field(default=10.0, gt=0)
    window_seconds: float = Field(default=2.0, gt=0)
    windows: Literal["context", "targets"] = "context"
    max_query_seconds: float = Field(default=10.0, gt=0)
    seed: int = Field(default=0, ge=0)
    log_every: int = Field(default=10, ge=1)
    save_every: int = Field(default=200, ge=1)


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
    report: Callable[[int, int, Mapping[str, float]], None] | None = None,
) -> TrainReport:
    """Trains on the pairs of split "train" and leaves head, state, log and configuration in the folder `out`.

    Pairs whose clips are not all in the store are left out, which a warning tells. Killed at any moment and called
    again with `resume`, it goes on from the last saved state and ends with the same weights, bit for bit, as an
    unbroken run on the same machine. report(step, steps, losses) is told of every step.
    """
    store = FeatureStore.open(store_path)
    pairs = training_pairs(pairs_path, store)
    options = fit_to_store(options, store, pairs)
    torch.manual_seed(options.seed)
    head = build_head(options.head).to(device)
    run = Run(out, provenance(options, store, pairs, pairs_path), options.log_every)
    run.begin(resume)
    calibrate(head, store, pairs, options.seed)
    optimizer = build_optimizer(head, options)
    first = run.restore(head, optimizer)
    batches = training_batches(pairs, store, options)
    losses: dict[str, float] = {}
    head.train()
    for step, batch in enumerate(prefetch(batches.__getitem__, first, options.steps), first):
        losses = train_step(head, optimizer, batch.to(device), options, step)
        done = step + 1
        run.log(done, losses, last=done == options.steps)
        if report:
            report(done, options.steps, losses)
        if done % options.save_every == 0 or done == options.steps:
            run.save(done, head, options.head, store.spec, optimizer)
    return TrainReport(out, options.steps, options.steps - first, losses)


def train_step(
    head: MatchingHead, optimizer: torch.optim.Optimizer, batch: Batch, options: TrainOptions, step: int
) -> dict[str, float]:
    """One step; every draw it makes depends on (seed, step) alone. ValueError when the loss is not finite."""
    torch.manual_seed(options.seed * 1_000_003 + step)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(options, step)
    losses = head.losses(head(batch), batch)
    total = torch.stack(list(losses.values())).sum()
    optimizer.zero_grad(set_to_none=True)
    total.backward()
    norm = torch.nn.utils.clip_grad_norm_(head.parameters(), options.clip_norm)
    told = {"total": float(total.detach()), **{name: float(loss.detach()) for name, loss in losses.items()},
            "gradient_norm": float(norm)}  # fmt: skip
    broken = [f"{name} {value}" for name, value in told.items() if not math.isfinite(value)]
    if broken:
        raise ValueError(f"step {step} is no longer finite: {', '.join(broken)}. Begin anew with a smaller --lr than "
                         f"{options.lr} and another --out; what was saved before is whole.")
    optimizer.step()
    return {**told, "lr": learning_rate(options, step)}


def learning_rate(options: TrainOptions, step: int) -> float:
    """Linear warm-up, then by tenths at the milestones or down a cosine to zero."""
    if step < options.warmup_steps:
        return options.lr * (step + 1) / options.warmup_steps
    if options.schedule == "step":
        return options.lr * 0.1 ** sum(step >= milestone for milestone in options.milestones)
    share = (step - options.warmup_steps) / max(1, options.steps - options.warmup_steps)
    return options.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


def build_optimizer(head: MatchingHead, options: TrainOptions) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in head.parameters() if parameter.requires_grad]
    if options.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, lr=options.lr, momentum=options.momentum, weight_decay=options.weight_decay
        )
    return torch.optim.AdamW(parameters, lr=options.lr, weight_decay=options.weight_decay)


def training_pairs(path: Path, store: FeatureStore) -> list[Pair]:
    """The pairs of split "train" whose clips are all in the store."""
    pairs = [pair for pair in read_pairs_for(path, store)[0] if pair.split == "train"]
    if not pairs:
        raise ValueError(f"there is no training pair: {path} has none with split 'train'.")
    reasons = lacking(pairs, store)
    if reasons:
        first = next(iter(reasons.values()))
        said = f"{len(reasons)} of {len(pairs)} training pairs need clips that are not there: {first}"
        if len(reasons) == len(pairs):
            raise LookupError(f"{said}. Run `stvr extract` on the videos.")
        logging.getLogger("stvr").warning("%s. They are left out.", said)
    return [pair for index, pair in enumerate(pairs) if index not in reasons]


def fit_to_store(options: TrainOptions, store: FeatureStore, pairs: list[Pair]) -> TrainOptions:
    """The options with the number of channels that the stored maps have."""
    if store.spec.endpoint != MatchingHead.endpoint:
        raise ValueError(f"the head {options.head.name!r} reads {MatchingHead.endpoint}, but the store holds "
                         f"{store.spec.endpoint}. Extract with --endpoint {MatchingHead.endpoint}.")
    first = pairs[0].reference
    channels = read_maps(store, Span(first.video, first.start, first.start + 1)).shape[-1]
    return options.model_copy(update={"head": options.head.model_copy(update={"feature_channels": channels})})


def training_batches(pairs: list[Pair], store: FeatureStore, options: TrainOptions) -> TrainingBatches:
    clips = float(store.spec.clip.clips_per_second)
    return TrainingBatches(
        pairs, store, batch_size=options.batch_size, window=max(1, round(options.window_seconds * clips)),
        windows=options.windows, max_query=max(1, round(options.max_query_seconds * clips)), seed=options.seed,
    )  # fmt: skip


def calibrate(head: MatchingHead, store: FeatureStore, pairs: list[Pair], seed: int) -> None:
    """Lets an adapter that wants it measure the channels on training features."""
    measure = getattr(head.adapter, "calibrate", None)
    if measure is None:
        return
    order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(seed))[:CALIBRATION_SPANS]
    spans = [pairs[int(index)].reference for index in order]
    measure(torch.cat([read_maps(store, Span(s.video, s.start, min(s.stop, s.start + 4))) for s in spans]))


def prefetch(read: Callable[[int], Batch], first: int, stop: int) -> Iterator[Batch]:
    """Batches first..stop, the next one being read while one is used."""
    with ThreadPoolExecutor(1) as pool:
        waiting: list[Future[Batch]] = [pool.submit(read, first)] if first < stop else []
        for step in range(first, stop):
            batch = waiting.pop().result()
            if step + 1 < stop:
                waiting.append(pool.submit(read, step + 1))
            yield batch


def provenance(options: TrainOptions, store: FeatureStore, pairs: list[Pair], pairs_path: Path) -> dict[str, Any]:
    """Config, versions and digests that make the head."""
    return {
        "train": options.model_dump(mode="json"),
        "store": str(store.path),
        "spec": store.spec.to_json(),
        "pairs": str(pairs_path),
        "pairs_digest": f"sha256:{hashlib.sha256(pairs_path.read_bytes()).hexdigest()}",
        "num_pairs": len(pairs),
        "versions": {"stvr": stvr.__version__, "torch": torch.__version__, "python": platform.python_version()},
    }
