"""A class for a stretch of video: a temporal block over features at a few moments, and a score for each class."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator
from torch import nn

from stvr.config import named_table
from stvr.heads.adapter import Even
from stvr.heads.classes import ClassHead, ClassScores, check_classes, named
from stvr.heads.entry import ClassOptions, HeadEntry, Reads
from stvr.store import FeatureSpec
from stvr.structures import Features, LabelBatch
from stvr.temporal import TEMPORAL, TemporalBlock, build_temporal


class ClassifierOptions(ClassOptions):
    """What a classifier is made of; the defaults are the sizes of Winter et al. 2020 and TRN.

    block: a name on the menu of temporal blocks, or a table of that name and the block's own options. endpoint: whose
    features are read; None: the only one, the finest of several. width: of the projection that the block reads.
    """

    name: str = "classifier"
    block: dict[str, Any] = Field(default={"name": "mlp"}, validate_default=True)
    endpoint: str | None = None
    width: int = Field(default=256, ge=1)
    dropout: float = Field(default=0.3, ge=0, lt=1)  # of the features

    @field_validator("block", mode="before")
    @classmethod
    def with_own_options(cls, value: Any) -> Any:
        """All options of the block that is named, each checked. LookupError for a name on no menu."""
        return named_table(value, "temporal block", "mlp", lambda name: TEMPORAL[name].options, "block")


PRESETS: dict[str, dict[str, Any]] = {
    "paper": {  # Winter et al. 2020, their program; epochs of Jester's 118,562 clips as steps: 30, a tenth at 15 and 25
        "steps": 27_780, "batch_size": 128, "lr": 1e-3, "weight_decay": 5e-4, "milestones": (13_890, 23_150),
        "clip_norm": 20.0,
    },
    "small": {
        "steps": 300, "batch_size": 32, "optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.01, "schedule": "cosine",
        "warmup_steps": 20,
    },
}  # fmt: skip


class ClassifierHead(ClassHead):
    """channels: of one time step. block: reads `width` channels, of vectors or of maps."""

    def __init__(
        self, channels: int, width: int, dropout: float, block: TemporalBlock, num_classes: int, *, on_maps: bool,
        loss: str,
    ) -> None:  # fmt: skip
        super().__init__(loss)
        self.even, self.dropout, self.project = Even(channels), nn.Dropout(dropout), nn.Linear(channels, width)
        self.block, self.on_maps = block, on_maps
        self.classifier = block.classifier(num_classes)

    def forward(self, batch: LabelBatch) -> ClassScores:
        (maps,) = batch.maps.values()
        steps = maps if self.on_maps else maps.mean((2, 3))  # (B, S, H, W, C) or (B, S, C)
        embedding = self.block(self.project(self.dropout(self.even(steps))))
        return ClassScores(self.classifier(embedding), embedding)

    def wants_features(self) -> bool:
        return True

    def calibrate(self, features: Features) -> None:
        """features: of single time steps, (T, H, W, C)."""
        maps = features.only
        self.even.calibrate(maps if self.on_maps else maps.mean((1, 2)))


def build_classifier(options: ClassifierOptions, spec: FeatureSpec) -> ClassifierHead:
    check_classes(options)
    entry = TEMPORAL[options.block["name"]]
    own = {name: option for name, option in options.block.items() if name != "name"}
    return ClassifierHead(
        spec.only(reads(options).chosen(spec)).map.channels, options.width, options.dropout,
        build_temporal(options.block["name"], options.width, options.segments, own), len(options.classes),
        on_maps=entry.on_maps, loss=options.loss,
    )  # fmt: skip


def reads(options: ClassifierOptions) -> Reads:
    return Reads((options.endpoint,) if options.endpoint else None, cells=TEMPORAL[options.block["name"]].on_maps)


CLASSIFIER = HeadEntry(ClassifierOptions, build_classifier, "labels", PRESETS, reads, named=named)
