"""Stage two: train a head on cached features."""

from __future__ import annotations

import hashlib
import json
import math
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

import stvr
from stvr.checkpoint import HEAD_FILE, read_tensors, save_head, write_tensors
from stvr.config import Options, fill
from stvr.data.dataset import TrainingBatches, read_maps
from stvr.data.pairs import read_pairs
from stvr.heads import PRESETS as HEAD_PRESETS
from stvr.heads import HeadOptions, MatchingHead, build_head
from stvr.store import FeatureStore
from stvr.structures import Batch, Pair, Span

STATE_FILE, LOG_FILE, CONFIG_FILE = "state.safetensors", "log.jsonl", "config.json"
CALIBRATION_SPANS = 64  # spans of the training references from which the adapter measures its channels


class TrainOptions(Options):
    """How a head is trained; the defaults are the released program's."""

    head: HeadOptions = HeadOptions()
    steps: int = Field(30_000, ge=1)
    batch_size: int = Field(8, ge=1)  # Feng et al. 2019, section 6
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(0.03, gt=0)
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: Literal["step", "cosine"] = "step"
    milestones: tuple[int, ...] = (10_000, 20_000)  # a tenth each time; the second one is the program's alone
    warmup_steps: int = 0
    clip_norm: float = 10.0
    window_seconds: float = Field(2.0, gt=0)
    windows: Literal["context", "targets"] = "context"
    max_query_seconds: float = Field(10.0, gt=0)
    seed: int = 0
    log_every: int = Field(10, ge=1)
    save_every: int = Field(200, ge=1)


PRESETS: dict[str, dict[str, Any]] = {
    "paper": {"head": HEAD_PRESETS["paper"]},
    "small": {
        "head": HEAD_PRESETS["small"], "steps": 500, "optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.01,
        "schedule": "cosine", "warmup_steps": 25, "max_query_seconds": 2.0, "save_every": 50,
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

    Killed at any moment and called again with `resume`, it goes on from the last saved state and ends with the same
    weights, bit for bit, as an unbroken run on the same machine. report(step, steps, losses) is told of every step.
    """
    store = FeatureStore.open(store_path)
    pairs = training_pairs(pairs_path, store)
    options = fit_to_store(options, store, pairs)
    run = Run(out, options, provenance(options, store_path, pairs_path))
    run.begin(resume)
    torch.manual_seed(options.seed)
    head = build_head(options.head).to(device)
    calibrate(head, store, pairs, options.seed)
    optimizer = build_optimizer(head, options)
    first = run.restore(head, optimizer) if resume else 0
    batches = training_batches(pairs, store, options)
    losses: dict[str, float] = {}
    head.train()
    for step, batch in enumerate(prefetch(batches.__getitem__, first, options.steps), first):
        losses = train_step(head, optimizer, batch.to(device), options, step)
        if not math.isfinite(losses["total"]):
            raise ValueError(f"the loss of step {step} is {losses['total']}. Try a smaller --lr than {options.lr}.")
        done = step + 1
        run.log(done, losses, last=done == options.steps)
        if report:
            report(done, options.steps, losses)
        if done % options.save_every == 0 or done == options.steps:
            run.save(head, optimizer, store, done)
    return TrainReport(out, options.steps, options.steps - first, losses)


def train_step(
    head: MatchingHead, optimizer: torch.optim.Optimizer, batch: Batch, options: TrainOptions, step: int
) -> dict[str, float]:
    """One step; every draw it makes depends on (seed, step) alone."""
    torch.manual_seed(options.seed * 1_000_003 + step)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(options, step)
    losses = head.losses(head(batch), batch)
    total = torch.stack(list(losses.values())).sum()
    optimizer.zero_grad(set_to_none=True)
    total.backward()
    norm = torch.nn.utils.clip_grad_norm_(head.parameters(), options.clip_norm)
    optimizer.step()
    named = {name: float(loss.detach()) for name, loss in losses.items()}
    return {"total": float(total.detach()), **named, "gradient_norm": float(norm), "lr": learning_rate(options, step)}


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
    """The pairs of split "train"; every video that they name must be in the store."""
    pairs = [pair for pair in read_pairs(path)[0] if pair.split == "train"]
    missing = sorted({span.video for pair in pairs for span in spans_of(pair) if span.video not in store})
    if missing:
        raise LookupError(f"{len(missing)} videos of {path} are not in the store, {missing[0]!r} first. "
                          "Run `stvr extract` on them.")
    return pairs


def spans_of(pair: Pair) -> tuple[Span, Span]:
    return pair.query.span, pair.reference


def fit_to_store(options: TrainOptions, store: FeatureStore, pairs: list[Pair]) -> TrainOptions:
    """The options with the number of channels that the stored maps have."""
    if store.spec.endpoint != MatchingHead.endpoint:
        raise ValueError(f"the head {options.head.name!r} reads {MatchingHead.endpoint}, but the store holds "
                         f"{store.spec.endpoint}. Extract with --endpoint {MatchingHead.endpoint}.")
    if not pairs:
        raise ValueError("there is no training pair: the pairs file has none with split 'train'.")
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


def provenance(options: TrainOptions, store_path: Path, pairs_path: Path) -> dict[str, Any]:
    """Config, versions and digests that make the head."""
    return {
        "train": options.model_dump(mode="json"),
        "store": str(store_path),
        "pairs": str(pairs_path),
        "pairs_digest": f"sha256:{hashlib.sha256(pairs_path.read_bytes()).hexdigest()}",
        "versions": {"stvr": stvr.__version__, "torch": torch.__version__, "python": platform.python_version()},
    }


class Run:
    """The folder of a training run."""

    def __init__(self, out: Path, options: TrainOptions, made_by: dict[str, Any]) -> None:
        self.out, self.options, self.made_by = out, options, made_by
        self.started = time.monotonic()
        self.steps_since = 0

    def begin(self, resume: bool) -> None:
        """Refuses to write over a run, or to go on with one of other options."""
        if not resume and (self.out / STATE_FILE).exists():
            raise ValueError(f"{self.out} already holds a run. Go on with it by --resume, or choose another --out.")
        self.out.mkdir(parents=True, exist_ok=True)
        if resume and (self.out / STATE_FILE).exists():
            made = read_tensors(self.out / STATE_FILE)[1]["provenance"]
            now = json.loads(json.dumps(self.made_by))
            changed = [key for key in now["train"] if made["train"].get(key) != now["train"][key]]
            changed += ["pairs"] if made["pairs_digest"] != now["pairs_digest"] else []
            if changed:
                raise ValueError(f"{self.out} was begun with other {', '.join(changed)}. "
                                 "Resume with the same options, or choose another --out.")
        (self.out / CONFIG_FILE).write_text(json.dumps(self.made_by, indent=1) + "\n")

    def restore(self, head: MatchingHead, optimizer: torch.optim.Optimizer) -> int:
        """Weights and optimizer as they were saved; the number of steps done. 0 when nothing was saved yet."""
        done = 0
        if (self.out / STATE_FILE).exists():
            tensors, header = read_tensors(self.out / STATE_FILE)
            done = header["step"]
            head.load_state_dict({name[5:]: tensor for name, tensor in tensors.items() if name.startswith("head/")})
            optimizer.load_state_dict(unflatten_optimizer(tensors, optimizer))
        self.cut_log(done)
        return done

    def save(self, head: MatchingHead, optimizer: torch.optim.Optimizer, store: FeatureStore, step: int) -> None:
        tensors = {f"head/{name}": tensor for name, tensor in head.state_dict().items()}
        header = {"step": step, "provenance": self.made_by}
        write_tensors(self.out / STATE_FILE, {**tensors, **flatten_optimizer(optimizer)}, header)
        save_head(self.out / HEAD_FILE, head, self.options.head, store.spec, {**self.made_by, "step": step})

    def log(self, step: int, losses: Mapping[str, float], last: bool) -> None:
        self.steps_since += 1
        if step % self.options.log_every and not last:
            return
        rate = self.steps_since / max(time.monotonic() - self.started, 1e-9)
        line = {"step": step, **{name: round(value, 6) for name, value in losses.items()}, "steps_a_second": rate}
        with (self.out / LOG_FILE).open("a") as file:
            file.write(json.dumps(line) + "\n")

    def cut_log(self, step: int) -> None:
        """Takes out what was logged after the state that training goes on from."""
        path = self.out / LOG_FILE
        lines = path.read_text().splitlines() if path.exists() else []
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
        path.write_text("".join(f"{line}\n" for line in kept))


def flatten_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """optimizer/<parameter>/<name> -> tensor."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer/{index}/{name}": torch.as_tensor(value)
        for index, values in state.items()
        for name, value in values.items()
        if value is not None
    }


def unflatten_optimizer(tensors: Mapping[str, Tensor], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith("optimizer/"):
            _, index, name = key.split("/")
            state.setdefault(int(index), {})[name] = tensor
    return {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
