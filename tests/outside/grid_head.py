"""A head somebody else wrote: a grid of boxes, each held against the query by cosine. One file, one entry point."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from stvr.heads import HeadEntry, HeadOptions, Localizer
from stvr.heads.regions import crop_regions
from stvr.structures import LABEL_SAME, Batch, Detections, Features, Query


class GridOptions(HeadOptions):
    name: str = "grid"
    dimensions: int = Field(default=4, ge=1)
    cells: int = Field(default=2, ge=1)  # boxes a side


@dataclass(frozen=True, slots=True, eq=False)
class GridOutputs:
    query: Tensor  # (B, D)
    boxes: Tensor  # (B, T, K, D)


class GridHead(Localizer):
    def __init__(self, channels: int, options: GridOptions) -> None:
        super().__init__()
        self.project = nn.Linear(channels, options.dimensions)
        edges = torch.linspace(0, 1, options.cells + 1)
        corners = [(edges[x], edges[y], edges[x + 1], edges[y + 1])
                   for y in range(options.cells) for x in range(options.cells)]
        self.register_buffer("grid", torch.tensor(corners))  # (K, 4)

    def embed(self, maps: Tensor, boxes: Tensor) -> Tensor:
        """maps (N, H, W, C), boxes (N, K, 4) -> unit vectors (N, K, D)."""
        return F.normalize(self.project(crop_regions(maps, boxes).mean((2, 3))), dim=-1)

    def forward(self, batch: Batch) -> GridOutputs:
        query = self.embed(batch.query.flatten(0, 1), batch.query_boxes.flatten(0, 1)[:, None])
        found = self.embed(batch.reference.flatten(0, 1), self.grid.expand(batch.reference_mask.numel(), -1, -1))
        return GridOutputs(query.unflatten(0, batch.query_mask.shape).mean((1, 2)),
                           found.unflatten(0, batch.reference_mask.shape))

    def losses(self, outputs: GridOutputs, batch: Batch) -> dict[str, Tensor]:
        alike = torch.einsum("bd,btkd->btk", outputs.query, outputs.boxes).amax(-1)
        there = (batch.target_labels == LABEL_SAME).any(-1).float()
        return {"alike": F.mse_loss(alike, there), "weight": 1e-3 * self.project.weight.square().sum()}

    def pool(self, features: Features, boxes: Tensor) -> Tensor:
        return self.embed(features.only, boxes[:, None])[:, 0]

    def stream(self, state: None, features: Features) -> tuple[None, Tensor]:
        return None, self.embed(features.only, self.grid.expand(len(features), -1, -1))  # (T, K, D)

    def ask(self, look: Tensor, query: Query) -> list[Detections]:
        scores = (look @ query.regions.mean(0)).sigmoid()
        order = scores.argsort(descending=True)
        label = torch.full((look.shape[1],), LABEL_SAME)
        return [Detections(self.grid[best], score[best], label)
                for score, best in zip(scores, order, strict=True)]


GRID = HeadEntry(
    GridOptions,
    build=lambda options, spec: GridHead(spec.map.width, options),
    presets={"quick": {"steps": 4, "batch_size": 2, "save_every": 2, "log_every": 1, "lr": 0.1}},
)
