"""Which clip of a query a proposal is held against, and how the two are put together (Feng et al. 2019, eq. 10)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Attention(nn.Module):
    """Which clip of the query a proposal should be held against (eq. 10)."""

    def __init__(self, channels: int, width: int = 128) -> None:
        super().__init__()
        self.query = nn.Linear(channels, width)
        self.reference = nn.Linear(channels, width)
        self.score = nn.Linear(width, 1)

    def forward(self, query: Tensor, regions: Tensor, mask: Tensor) -> Tensor:
        """query (B, Q, C), regions (B, P, C), mask (B, Q) bool -> weights (B, P, Q) that sum to 1."""
        energy = (self.query(query)[:, None] + self.reference(regions)[:, :, None]).tanh()  # (B, P, Q, width)
        scores = self.score(energy)[..., 0].masked_fill(~mask[:, None], float("-inf"))
        return scores.softmax(-1)


def fuse(regions: Tensor, attended: Tensor, how: str) -> Tensor:
    """(..., C) twice -> (..., 2C)."""
    if how == "concat":
        return torch.cat([regions, attended], -1)
    return torch.cat([regions * attended, (regions - attended).abs()], -1)
