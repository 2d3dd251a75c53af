"""Space-time region graphs that match: candidates of a reference, scored in one graph with the query's regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import nms

from stvr.heads.adapter import Project
from stvr.heads.boxes import decode
from stvr.heads.entry import HeadEntry, HeadOptions, Reads
from stvr.heads.given import given_boxes, padded_boxes
from stvr.heads.graph_losses import LOSSES, NUM_CLASSES, wanted_of
from stvr.heads.graph_match import GraphMatch, Nodes, in_windows, out_of_windows
from stvr.heads.graphs import NUM_LAYERS
from stvr.heads.head import Localizer
from stvr.heads.proposal_sources import Sources
from stvr.heads.regions import REGION_SIZE, align_regions
from stvr.heads.where import Where, has_sides
from stvr.heads.windows import FIRST_OF_STEP, SMALLER, step_grid
from stvr.store import FeatureSpec
from stvr.structures import LABEL_NONE, LABEL_SAME, Batch, Detections, Features, Query

BACKGROUND, MAX_COVER = 1.0, 0.5  # of windows, as `Where` takes them
BOX_WEIGHT, MAX_DETECTIONS = 1.0, 30
SCALES, FIRST_SCALES = (*FIRST_OF_STEP, *SMALLER), {34: 2, 59: 3, 84: 4}


class RegionGraphOptions(HeadOptions):
    """What a region graph is made of; the defaults are the paper's sizes.

    width: of a node. layers: graph convolutions of each branch. window: clips of one graph, from the start of a
    reference on; no clip sees another window. loss: "softmax" over background, another action and the query's;
    "multi_label": whether anything is done, and whether the query's action, each by itself. endpoint: whose map is
    read; None is the finest. proposals: where candidates come from, one or several joined by +: "grid" (STEP's boxes),
    "boxes" (a detector's, of the store), "map" (windows that look like the query). grid: how many boxes that is.
    windows: how many of a map there are of a clip.
    """

    name: str = "region_graph"
    width: int = Field(default=512, ge=1)
    layers: int = Field(default=NUM_LAYERS, ge=1)
    window: int = Field(default=6, ge=1)
    loss: Literal["softmax", "multi_label"] = "softmax"
    endpoint: str | None = None
    proposals: str = "grid"
    grid: Literal[34, 59, 84] = 34
    windows: int = Field(default=10, ge=1)
    nms_iou: float = Field(default=0.4, ge=0, le=1)

    @field_validator("proposals")
    @classmethod
    def on_the_menu(cls, value: str) -> str:
        if "rpn" in Sources.of(value).given:
            raise ValueError("a region graph has no proposal network. Choose of map, grid, boxes, or several, as in "
                             "map+boxes.")
        return value


@dataclass(frozen=True, slots=True, eq=False)
class RegionLook:
    """T clips of a reference, whole windows but for the last: maps (T, H, W, D) that regions are pooled from.

    boxes (T, K, 4): candidates that do not depend on the query, padded with zeros. cells: as `Where` makes them, by
    endpoint, None where no candidate depends on it.
    """

    maps: Tensor
    boxes: Tensor
    cells: Mapping[str, Tensor] | None

    def __len__(self) -> int:
        return len(self.maps)


@dataclass(frozen=True, slots=True, eq=False)
class RegionOutputs:
    """K candidates of each clip: boxes (B, T, K, 4) padded with zeros, mask (B, T, K), logits (B, T, K, classes).

    codes (B, T, K, 4): how each box is to be refined.
    """

    boxes: Tensor
    mask: Tensor
    logits: Tensor
    codes: Tensor


class RegionGraphHead(Localizer):
    """Candidates of a window of clips and the query's regions are one graph, which says who of them does the same."""

    grid: Tensor

    def __init__(self, options: RegionGraphOptions, spec: FeatureSpec) -> None:
        super().__init__()
        self.window, self.loss, self.nms_iou = options.window, options.loss, options.nms_iou
        self.reach = options.window - 1
        sources = Sources.of(options.proposals)
        self.takes_given = "boxes" in sources.given
        grid = step_grid(SCALES[: FIRST_SCALES[options.grid]]) if "grid" in sources.windows else []
        boxes = [lattice.boxes() for lattice in grid]
        self.register_buffer("grid", torch.cat(boxes) if boxes else torch.zeros(0, 4), persistent=False)
        self.where = None if "map" not in sources.windows else Where(
            spec, spec.endpoints, proposals="map", background=BACKGROUND, num_proposals=options.windows,
            max_cover=MAX_COVER,
        )  # fmt: skip
        self.reduce = Project(spec.map.width, options.width)
        self.match = GraphMatch(options.width, options.layers, NUM_CLASSES[options.loss])
        self.refine = nn.Linear(options.width * REGION_SIZE**2, 4)
        nn.init.zeros_(self.refine.weight)
        nn.init.zeros_(self.refine.bias)

    def wants_features(self) -> bool:
        return True

    def calibrate(self, features: Features) -> None:
        self.reduce.calibrate(features.only)
        if self.where is not None:
            self.where.calibrate(features.maps)

    def forward(self, batch: Batch) -> RegionOutputs:
        items, clips = batch.reference_mask.shape
        queries = Features({name: maps.flatten(0, 1) for name, maps in batch.queries.items()})
        pooled = {name: each.unflatten(0, batch.query_mask.shape)
                  for name, each in self.pool(queries, batch.query_boxes.flatten(0, 1)).items()}
        boxes = [self.fixed_boxes(items * clips, None if batch.boxes is None else batch.boxes.flatten(0, 1))]
        if self.where is not None:
            cells = self.where.cells(self.where.standardised(batch.references))
            boxes.append(self.windows_like(cells, pooled, batch.query_mask))
        candidates = torch.cat(boxes, 1).unflatten(0, (items, clips))
        if self.training:  # true boxes join them
            candidates = torch.cat([candidates, batch.target_boxes], 2)
        mask = has_sides(candidates)[..., 0] & batch.reference_mask[..., None]
        clips_of_query = torch.arange(batch.query_mask.shape[1], device=mask.device)
        query = Nodes(pooled["nodes"], batch.query_boxes, batch.query_mask, clips_of_query)
        return self.judge(self.reduce(batch.reference), candidates, mask, query)

    def judge(self, maps: Tensor, boxes: Tensor, mask: Tensor, query: Nodes) -> RegionOutputs:
        """Reduced maps (B, T, H, W, D), candidates (B, T, K, 4) and their mask (B, T, K), each against its query."""
        num_items, num_clips, per_clip = mask.shape
        regions = align_regions(maps.flatten(0, 1), boxes.flatten(0, 1)).unflatten(0, (num_items, num_clips))
        parts = [in_windows(each, self.window) for each in (regions.amax((-2, -1)), boxes, mask)]
        clips = torch.arange(self.window, device=mask.device).repeat_interleave(per_clip)
        logits = self.match(Nodes._make([*parts, clips]), query.repeated(len(parts[0]) // num_items))
        logits = out_of_windows(logits, num_items, num_clips, self.window)
        return RegionOutputs(boxes, mask, logits.float(), self.refine(regions.flatten(3)).float())

    def fixed_boxes(self, num_clips: int, given: Tensor | None) -> Tensor:
        """Candidates that do not depend on the query, (T, K, 4)."""
        grid = self.grid.expand(num_clips, -1, -1)
        return torch.cat([grid, given_boxes(given)], 1) if self.takes_given else grid

    def windows_like(self, cells: Mapping[str, Tensor], pooled: Mapping[str, Tensor], query_mask: Tensor) -> Tensor:
        """Cells (B, T, H, W, C) by endpoint and pooled queries (B, Q, ...) -> windows (B * T, K, 4)."""
        assert self.where is not None
        wanted = {name: pooled[f"where/{name}"] for name in self.where.endpoints}
        return self.where.propose_each(cells, wanted, query_mask)

    def losses(self, outputs: RegionOutputs, batch: Batch) -> dict[str, Tensor]:
        """region: the mean over all candidates, of the cross entropy or of two binary ones; box: of the refinement."""
        labels, codes = wanted_of(outputs.boxes, batch)
        labels, logits = labels[outputs.mask], outputs.logits[outputs.mask]
        region = LOSSES[self.loss](logits, labels) / max(1, len(labels))
        there = labels != LABEL_NONE
        distance = F.huber_loss(outputs.codes[outputs.mask][there], codes[outputs.mask][there], reduction="sum")
        return {"region": region, "box": BOX_WEIGHT * distance / max(1, len(labels))}

    def answers(self, outputs: RegionOutputs) -> list[Detections]:
        """One Detections a clip, the query's action alone."""
        boxes = decode(outputs.codes, outputs.boxes).clamp(0, 1).flatten(0, 1)
        scores, mask = self.scores(outputs.logits).flatten(0, 1), outputs.mask.flatten(0, 1)
        return [self.detections(box[real], score[real]) for box, score, real in zip(boxes, scores, mask, strict=True)]

    def scores(self, logits: Tensor) -> Tensor:
        """How sure it is the query's action, in [0, 1]."""
        return logits.softmax(-1)[..., -1] if self.loss == "softmax" else logits[..., -1].sigmoid()

    def detections(self, boxes: Tensor, scores: Tensor) -> Detections:
        kept = nms(boxes, scores, self.nms_iou)[:MAX_DETECTIONS]  # best first
        return Detections(boxes[kept], scores[kept], torch.full_like(kept, LABEL_SAME))

    def pool(self, features: Features, boxes: Tensor) -> dict[str, Tensor]:
        """nodes (Q, D), and vectors (Q, C) by "where/..." for a head that takes windows that look like the query."""
        nodes = align_regions(self.reduce(features.only), boxes[:, None])[:, 0].amax((-2, -1))
        where = {} if self.where is None else self.where.wanted(self.where.standardised(features.maps), boxes)
        return {"nodes": nodes, **{f"where/{name}": each for name, each in where.items()}}

    def stream(self, state: Features | None, features: Features) -> tuple[Features, RegionLook]:
        """Looks are of whole windows; the clips of one that is not yet whole are held back."""
        if state is not None:
            features = state.followed_by(features)
        whole = len(features) - len(features) % self.window
        return features.part(slice(whole, None)), self.look(features.part(slice(0, whole)))

    def finish(self, state: Features | None) -> RegionLook | None:
        return None if state is None else self.look(state)

    def look(self, features: Features) -> RegionLook:
        cells = None if self.where is None else self.where.cells(self.where.standardised(features.maps))
        return RegionLook(self.reduce(features.only), self.fixed_boxes(len(features), features.boxes), cells)

    def ask(self, look: RegionLook, query: Query) -> list[Detections]:
        return self.answers(self.judged(look, query, self.candidates_of(look, query))) if len(look) else []

    def proposals_of(self, look: RegionLook, query: Query | None = None) -> list[Tensor]:
        boxes = look.boxes if query is None or not len(look) else self.candidates_of(look, query)
        return [each[has_sides(each)[:, 0]] for each in boxes]

    def score_boxes(self, look: RegionLook, query: Query, boxes: Sequence[Tensor]) -> list[Tensor]:
        """Each clip's boxes join its candidates, and are not refined."""
        if not len(look):
            return []
        padded = padded_boxes([each.to(look.maps) for each in boxes])
        outputs = self.judged(look, query, torch.cat([padded, self.candidates_of(look, query)], 1))
        return [each[: len(own)] for each, own in zip(self.scores(outputs.logits)[0], boxes, strict=True)]

    def candidates_of(self, look: RegionLook, query: Query) -> Tensor:
        """(T, K, 4), padded with zeros."""
        if look.cells is None:
            return look.boxes
        pooled = {name: each[None] for name, each in query.regions.items()}
        cells = {name: each[None] for name, each in look.cells.items()}
        return torch.cat([look.boxes, self.windows_like(cells, pooled, nodes_of(query).mask)], 1)

    def judged(self, look: RegionLook, query: Query, boxes: Tensor) -> RegionOutputs:
        mask = has_sides(boxes)[..., 0]
        return self.judge(look.maps[None], boxes[None], mask[None], nodes_of(query))


def nodes_of(query: Query) -> Nodes:
    """The regions of a query; clips of different examples do not follow each other."""
    nodes, starts = query.regions["nodes"], [0]
    for tubelet in query.tubelets:
        starts.append(starts[-1] + len(tubelet.span) + 1)
    clips = torch.cat([torch.arange(start, stop - 1) for start, stop in pairwise(starts)]).to(nodes.device)
    boxes = torch.cat([tubelet.boxes for tubelet in query.tubelets]).to(nodes)
    return Nodes(nodes[None], boxes[None], torch.ones_like(clips, dtype=torch.bool)[None], clips)


def fit_to(options: RegionGraphOptions, spec: FeatureSpec) -> RegionGraphOptions:
    """The endpoint that is read, where the options leave it to the features."""
    return options.model_copy(update={"endpoint": options.endpoint or spec.finest.endpoint})


def reads(options: RegionGraphOptions) -> Reads:
    sources = Sources.of(options.proposals)
    return Reads(None if options.endpoint is None else (options.endpoint,), boxes="boxes" in sources.given,
                 query_in_box="map" not in sources.windows)


PRESETS: dict[str, dict[str, Any]] = {
    "paper": {"lr": 0.00125, "batch_size": 8},  # of the README of jd730/STRG; its unit of steps is unclear
    "small": {
        "steps": 350, "batch_size": 12, "optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.01, "schedule": "cosine",
        "warmup_steps": 25, "window_seconds": 4 / 3, "max_query_seconds": 2.0, "save_every": 50,
        "head": {"width": 64, "window": 4},
    },
}  # fmt: skip

REGION_GRAPH = HeadEntry(RegionGraphOptions, RegionGraphHead, "pairs", PRESETS, reads, fit_to)
