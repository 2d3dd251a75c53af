"""A class for a stretch of video by graphs of its regions, alike or overlapping, beside the picture as a whole.

Wang and Gupta, "Videos as Space-Time Region Graphs", ECCV 2018.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from stvr.heads.adapter import Even
from stvr.heads.classes import ClassHead, ClassScores, check_classes, named
from stvr.heads.entry import ClassOptions, HeadEntry, Reads
from stvr.heads.given import given_boxes
from stvr.heads.graphs import NUM_LAYERS, RegionGraph
from stvr.heads.regions import align_regions
from stvr.heads.where import Sources, has_sides
from stvr.heads.windows import FIRST_OF_STEP, SMALLER, step_grid
from stvr.store import FeatureSpec
from stvr.structures import Features, LabelBatch

SCALES, FIRST_SCALES = (*FIRST_OF_STEP, *SMALLER), {34: 2, 59: 3, 84: 4}
BRANCHES = {"both": (True, True), "similarity": (True, False), "space_time": (False, True)}  # by likeness, by overlap


class RegionGraphClassifierOptions(ClassOptions):
    """What it is made of; the defaults are the paper's sizes.

    segments: time steps of a stretch. width: of a node. layers: graph convolutions of a branch. graphs: by likeness
    ("similarity"), by overlap from step to step ("space_time"), or both. norm: of each layer; "none" is as the public
    program has it. proposals: where regions come from: "boxes" (a detector's, of the store), "grid" (STEP's boxes), or
    both joined by +. boxes: how many of the detector's at a step, the best. grid: how many boxes that is. endpoint:
    whose map is read; None is the finest.
    """

    name: str = "region_graph_classifier"
    segments: int = Field(default=16, ge=1)
    width: int = Field(default=512, ge=1)
    layers: int = Field(default=NUM_LAYERS, ge=1)
    graphs: Literal["both", "similarity", "space_time"] = "both"
    norm: Literal["layer", "none"] = "layer"
    proposals: str = "grid"
    boxes: int = Field(default=10, ge=1)
    grid: Literal[34, 59, 84] = 34
    dropout: float = Field(default=0.3, ge=0, lt=1)  # of what the classes are read from
    endpoint: str | None = None

    @field_validator("proposals")
    @classmethod
    def on_the_menu(cls, value: str) -> str:
        if set(value.split("+")) - {"grid", "boxes"}:
            raise ValueError("regions of a classifier cannot depend on a query. Choose of grid, boxes, or grid+boxes.")
        return "+".join(sum(Sources.of(value), ()))


class RegionGraphClassifierHead(ClassHead):
    """channels: of one time step. num_boxes: of the detector's at a step; 0 for a head that reads the grid alone."""

    grid: Tensor

    def __init__(
        self, channels: int, width: int, graph: RegionGraph, num_classes: int, *, grid: Tensor, num_boxes: int,
        dropout: float, loss: str,
    ) -> None:  # fmt: skip
        super().__init__(loss)
        self.num_boxes = num_boxes
        self.register_buffer("grid", grid, persistent=False)
        self.even, self.reduce, self.graph = Even(channels), nn.Linear(channels, width), graph
        self.dropout, self.classifier = nn.Dropout(dropout), nn.Linear(2 * width, num_classes)

    def forward(self, batch: LabelBatch) -> ClassScores:
        (maps,) = batch.maps.values()
        reduced = self.reduce(self.even(maps))  # (B, S, H, W, D)
        boxes = self.regions(batch)  # (B, S, K, 4)
        items, steps, per_step, _ = boxes.shape
        nodes = align_regions(reduced.flatten(0, 1), boxes.flatten(0, 1)).amax((-2, -1))  # (B * S, K, D)
        mask = has_sides(boxes)[..., 0].flatten(1)
        clips = torch.arange(steps, device=mask.device).repeat_interleave(per_step)
        found = self.graph(nodes.view(items, steps * per_step, -1), boxes.flatten(1, 2), clips, mask)
        of_regions = found.sum(1) / mask.sum(1, keepdim=True).clamp_min(1)
        embedding = torch.cat([of_regions, reduced.float().mean((1, 2, 3))], -1)  # (B, 2D)
        return ClassScores(self.classifier(self.dropout(embedding)), embedding)

    def regions(self, batch: LabelBatch) -> Tensor:
        """(B, S, K, 4), padded with zeros."""
        first = next(iter(batch.maps.values()))
        grid = self.grid.expand(*first.shape[:2], -1, -1)
        if not self.num_boxes:
            return grid
        given = given_boxes(batch.boxes)[..., : self.num_boxes, :].to(grid)
        return torch.cat([given, grid], 2)

    def wants_features(self) -> bool:
        return True

    def calibrate(self, features: Features) -> None:
        """features: of single time steps, (T, H, W, C)."""
        self.even.calibrate(features.only)


def build(options: RegionGraphClassifierOptions, spec: FeatureSpec) -> RegionGraphClassifierHead:
    check_classes(options)
    sources = Sources.of(options.proposals)
    lattices = step_grid(SCALES[: FIRST_SCALES[options.grid]]) if "grid" in sources.windows else []
    boxes = [lattice.boxes() for lattice in lattices]
    likeness, overlap = BRANCHES[options.graphs]
    graph = RegionGraph(options.width, options.layers, likeness=likeness, overlap=overlap,
                        normed=options.norm == "layer")  # fmt: skip
    return RegionGraphClassifierHead(
        spec.only(reads(options).chosen(spec)).map.channels, options.width, graph, len(options.classes),
        grid=torch.cat(boxes) if boxes else torch.zeros(0, 4), loss=options.loss, dropout=options.dropout,
        num_boxes=options.boxes if "boxes" in sources.given else 0,
    )  # fmt: skip


def reads(options: RegionGraphClassifierOptions) -> Reads:
    boxes = "boxes" in Sources.of(options.proposals).given
    return Reads((options.endpoint,) if options.endpoint else None, boxes=boxes)


PRESETS: dict[str, dict[str, Any]] = {
    "paper": {  # README of jd730/STRG: 30 epochs of Something-Something V1's 86,017 clips, 32 at a time, as steps
        "steps": 80_640, "batch_size": 32, "lr": 0.000125, "weight_decay": 1e-3, "milestones": (),
    },
    "small": {
        "steps": 300, "batch_size": 16, "optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.01, "schedule": "cosine",
        "warmup_steps": 20, "head": {"width": 64, "segments": 8},
    },
}  # fmt: skip

REGION_GRAPH_CLASSIFIER = HeadEntry(RegionGraphClassifierOptions, build, "labels", PRESETS, reads, named=named)
