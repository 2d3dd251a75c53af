"""How alike a candidate and the query are on a map of its own: deeper than the one that says where things are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stvr.heads.adapter import MIN_SPREAD
from stvr.heads.regions import crop_regions

SCALE = 10.0  # of a cosine, before training; as that of the embedding


class Asked(NamedTuple):
    """Regions of B queries, (B, Q, 7, 7, C), what `DeepMatch` pools of them (B, Q, D), and what `Where` does.

    where: (B, Q, C') by endpoint. None for a head without the one or the other.
    """

    regions: Tensor
    deep: Tensor | None
    where: Mapping[str, Tensor] | None = None

    def pooled(self) -> Any:
        """Of one query, as a `Query` keeps them."""
        if self.deep is None and self.where is None:
            return self.regions[0]
        deep = {} if self.deep is None else {"deep": self.deep[0]}
        where = {f"where/{endpoint}": each[0] for endpoint, each in (self.where or {}).items()}
        return {"regions": self.regions[0], **deep, **where}

    @classmethod
    def of(cls, pooled: Any) -> Asked:
        """The inverse of `pooled`."""
        if not isinstance(pooled, Mapping):
            return cls(pooled[None], None)
        where = {name.removeprefix("where/"): each[None] for name, each in pooled.items() if name.startswith("where/")}
        deep = pooled["deep"][None] if "deep" in pooled else None
        return cls(pooled["regions"][None], deep, where or None)


class DeepMatch(nn.Module):
    """Regions of feature maps (..., C) as standardised vectors, and the scaled cosine of two of them.

    endpoint: whose maps these are. Mean and deviation of every channel are measured once, on training features, by
    `calibrate`, and are kept in the checkpoint. width: of a learned projection before the cosine; None for none.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, endpoint: str, channels: int, width: int | None = None) -> None:
        super().__init__()
        self.endpoint = endpoint
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))
        self.project = nn.Linear(channels, width, bias=False) if width else nn.Identity()
        self.scale = nn.Parameter(torch.tensor(SCALE))
        if isinstance(self.project, nn.Linear):
            nn.init.orthogonal_(self.project.weight)  # keeps cosines about as they are

    def calibrate(self, maps: Tensor) -> None:
        """Sets mean and deviation of every channel from maps (..., C)."""
        deviation, mean = torch.std_mean(maps.float().flatten(0, -2), 0)
        self.mean.copy_(mean)
        self.deviation.copy_(deviation.clamp_min(MIN_SPREAD))

    def pool(self, maps: Tensor, boxes: Tensor) -> Tensor:
        """maps (N, H, W, C), boxes (N, K, 4) xyxy in [0, 1] -> (N, K, D): the mean over each region, standardised."""
        regions = crop_regions(maps.float(), boxes.float()).mean((2, 3))  # (N, K, C)
        return self.project((regions - self.mean) / self.deviation).float()

    def forward(self, found: Tensor, asked: Tensor, weights: Tensor) -> Tensor:
        """Candidates (B, P, D) against the clips of a query (B, Q, D), weighted (B, P, Q): scaled cosines (B, P)."""
        attended = torch.einsum("bpq,bqd->bpd", weights.float(), asked)
        return self.scale * F.cosine_similarity(found, attended, dim=-1)
