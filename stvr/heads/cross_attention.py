"""Each cell of a proposal finds its own counterpart anywhere in the query, in place of one weight for a whole clip."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class CrossAttention(nn.Module):
    """Regions of proposals against all cells of all clips of a query.

    What a cell looks for and what it offers are learned, width channels each; what it is given are the query's own
    features. place: a bias for every pair of places in the 7x7, which begins by favouring the same one.
    """

    def __init__(self, channels: int, width: int, places: int = 49) -> None:
        super().__init__()
        self.query = nn.Linear(channels, width)
        self.reference = nn.Linear(channels, width)
        self.place = nn.Parameter(2.0 * torch.eye(places))

    def forward(self, query: Tensor, regions: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """query (B, Q, 7, 7, C), regions (B, P, 7, 7, C), mask (B, Q) bool.

        -> what each region attends to (B, P, 7, 7, C), and how much of it is of which clip (B, P, Q), which sums to 1.
        """
        num_clips, places = query.shape[1], self.place.shape[0]
        offered, sought = self.query(query).flatten(1, 3), self.reference(regions).flatten(1, 3)
        bias = self.place.repeat(regions.shape[1], num_clips)[None]  # (1, P 49, Q 49)
        there = mask.repeat_interleave(places, 1)[:, None]
        energy = sought @ offered.mT / offered.shape[-1] ** 0.5 + bias
        weights = energy.masked_fill(~there, float("-inf")).softmax(-1)
        attended = (weights.to(query.dtype) @ query.flatten(1, 3)).reshape(regions.shape)
        shares = weights.unflatten(-1, (num_clips, places)).sum(-1).unflatten(1, (-1, places)).mean(2)
        return attended, shares
