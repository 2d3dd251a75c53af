"""Stage two: train a head on cached features."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import SerializeAsAny, create_model
from torch import nn

from stvr import parallel
from stvr.backbones import I3D
from stvr.backbones.weights.load import load_weights
from stvr.backbones.weights.named import weights_file
from stvr.backbones.weights.table import TABLE
from stvr.config import fill, merge, read_toml
from stvr.heads import HEADS, HeadOptions, build_head
from stvr.heads.checkpoint import HEAD_FILE, check_features, load_head, save_head
from stvr.store import FeatureSpec, FeatureStore
from stvr.tasks import TASKS
from stvr.training.loop import LoopOptions, Tell, run_loop
from stvr.training.number_units import fast_units, with_precision
from stvr.training.one_step import HeadLosses
from stvr.training.runs import Run
from stvr.version import __version__

DEFAULT_HEAD = "matching"


class TrainOptions(LoopOptions):
    """How a head is trained on cached features: the loop's options, those of its task's draws, its own under `head`."""

    head: SerializeAsAny[HeadOptions]


@dataclass(frozen=True, slots=True)
class TrainReport:
    """Where the run lies, the steps done in all and in this call, the losses of the last step."""

    run: Path
    steps: int
    steps_now: int
    losses: Mapping[str, float]


def train_options(
    preset: str | None = None, file: Path | None = None, flags: Mapping[str, Any] | None = None
) -> TrainOptions:
    """Options from a preset of the head (its first when None), a TOML file and flags; flags win.

    The head is the one that flags or the file name under "head"; LookupError lists the menu.
    """
    given = merge(read_toml(file) if file else {}, {name: value for name, value in (flags or {}).items()
                                                    if value is not None})  # fmt: skip
    if not isinstance(given.get("head", {}), Mapping):
        raise ValueError(f"option 'head': wanted a table, [head] with a name in it, got {given['head']!r}.")
    name = given.get("head", {}).get("name", DEFAULT_HEAD)
    entry = HEADS[name]
    preset = preset or next(iter(entry.presets))
    if preset not in entry.presets:
        raise ValueError(f"{preset!r} is no preset of the head {name!r}. Its presets are: {', '.join(entry.presets)}.")
    values = merge(entry.presets[preset], given)
    head = fill(entry.options, values.get("head", {}), where="head")
    return fill(options_model(entry.task), {**values, "head": head})


def options_model(task: str) -> type[TrainOptions]:
    """Training options of a task: those of the loop and those of its draws, side by side."""
    bases: Any = (TrainOptions, TASKS[task].draws)
    model: type[TrainOptions] = create_model("TrainOptions", __base__=bases)
    return model


def train(
    store_path: Path,
    examples_path: Path,
    out: Path,
    options: TrainOptions,
    *,
    start: Path | str | None = None,
    resume: bool = False,
    device: str = "cpu",
    report: Tell | None = None,
) -> TrainReport:
    """Trains on the training examples of a file and leaves head, state, log and configuration in the folder `out`.

    Examples whose clips are not all in the store are left out, which a warning tells. Killed at any moment and called
    again with `resume`, it goes on from the last saved state and ends with the same weights, bit for bit, as an
    unbroken run on the same machine. Under torchrun the processes share every batch; the first one writes.
    report(step, steps, figures) is told of every step. start: a run or checkpoint, or fetched weights of I3D by
    their name, which are taken over first as far as the head has such layers.
    """
    store, entry = FeatureStore.open(store_path), HEADS[options.head.name]
    options = with_precision(options.model_copy(update={"head": entry.fit(options.head, store.spec)}), device)
    reads = entry.reads(options.head)
    reads.check(store.spec, options.head.name)
    store = store.only(reads.chosen(store.spec))
    examples = TASKS[entry.task].examples(
        examples_path, store, options, options.seed, (parallel.rank(), parallel.world_size())
    )
    options = options.model_copy(update={"head": entry.named(options.head, examples.classes)})
    torch.manual_seed(options.seed)
    head = build_head(options.head, store.spec)
    made_by = {**provenance(options, store.spec, len(examples), examples_path), "store": str(store.path)}
    if start is not None:
        made_by["start"] = str(start)
    run = Run(out, made_by, options.log_every, options.tensorboard)
    run.begin(resume)
    if head.wants_features():
        head.calibrate(examples.sample())
    if start is not None:
        head.start_from(trained_before(start, store))
    head.compile_steps(options.compiled)
    head.to(device).train()

    def write(trainee: nn.Module, step: int) -> None:
        trained = cast(HeadLosses, trainee).head
        save_head(out / HEAD_FILE, trained, options.head, store.spec, {**run.made_by, "step": step})

    with fast_units(device, options.deterministic):
        steps_now, losses = run_loop(HeadLosses(head), examples.batch, options, run, write, device, report)
    return TrainReport(out, options.steps, steps_now, losses)


def trained_before(start: Path | str, store: FeatureStore) -> nn.Module:
    """The head of a run or checkpoint, for features as a store's; or a whole I3D, by the name of its weights."""
    if str(start) in TABLE and not Path(start).exists():
        network, file = I3D("Mixed_5c"), weights_file(start)
        assert file is not None
        load_weights(network, file)
        return network
    loaded = load_head(start)
    check_features(loaded, store)
    return loaded.head


def provenance(options: LoopOptions, spec: FeatureSpec, num_examples: int, examples: Path) -> dict[str, Any]:
    """Config, versions and digests that make what is trained."""
    return {
        "train": options.model_dump(mode="json"),
        "spec": spec.to_json(),
        "pairs": str(examples),
        "pairs_digest": f"sha256:{hashlib.sha256(examples.read_bytes()).hexdigest()}",
        "num_pairs": num_examples,
        "versions": {"stvr": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }
