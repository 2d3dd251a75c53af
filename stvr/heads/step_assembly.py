"""The head STEP put together: its options and presets; all parts are those of progressive tubelets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stvr.heads.entry import HeadEntry, PeopleOptions
from stvr.heads.progressive_assembly import PRESETS as PROGRESSIVE_PRESETS
from stvr.heads.progressive_assembly import TubeletOptions, build_progression, reads
from stvr.heads.step import StepHead
from stvr.store import FeatureSpec


class StepOptions(TubeletOptions, PeopleOptions):
    """pretrain: learn to classify true boxes that are moved a little; `stvr train --start` then begins from it."""

    name: str = "step"
    pretrain: bool = False

    @property
    def reach(self) -> int:
        return self.tube_clips * max(self.chunks) // 2


def build_step_head(options: StepOptions, spec: FeatureSpec) -> StepHead:
    if not options.classes:
        raise ValueError("the head 'step' needs the names of its classes, as `stvr train` takes them from the people.")
    adapter, progression = build_progression(options, spec, len(options.classes))
    return StepHead(
        adapter, progression, num_classes=len(options.classes), positive_from=options.positive_from,
        dropout=options.dropout, seconds=1 / float(spec.clip.clips_per_second), pretrain=options.pretrain,
    )  # fmt: skip


def named(options: StepOptions, classes: Sequence[str]) -> StepOptions:
    return options.model_copy(update={"classes": tuple(classes)})


SMALL = {name: value for name, value in PROGRESSIVE_PRESETS["small"]["head"].items() if name != "values"}
CLASSIFYING = {"pretrain": True, "chunks": (3,), "positive_from": (0.75,)}  # one step of nine clips

PRESETS: dict[str, dict[str, Any]] = {
    "paper": {  # 14 epochs of 11,465 steps
        "steps": 160_510, "batch_size": 8, "optimizer": "adamw", "lr": 7.5e-4, "weight_decay": 1e-7,
        "schedule": "cosine", "warmup_steps": 1000,
    },
    "small": {
        "steps": 300, "batch_size": 8, "optimizer": "adamw", "lr": 2e-3, "weight_decay": 0.01, "schedule": "cosine",
        "warmup_steps": 20, "save_every": 100, "head": SMALL,
    },
    "pretrain": {  # 14 epochs at batch 4
        "steps": 321_020, "batch_size": 4, "optimizer": "adamw", "lr": 5e-4, "weight_decay": 1e-7,
        "schedule": "cosine", "warmup_steps": 1000, "head": CLASSIFYING,
    },
    "small_pretrain": {
        "steps": 150, "batch_size": 8, "optimizer": "adamw", "lr": 2e-3, "weight_decay": 0.01, "schedule": "cosine",
        "warmup_steps": 10, "save_every": 50, "head": {**SMALL, **CLASSIFYING},
    },
}  # fmt: skip

STEP = HeadEntry(StepOptions, build_step_head, "people", PRESETS, reads, named=named)
