"""Query and reference regions as nodes of one graph, and what each region of the reference is then taken for."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stvr.heads.attention import fuse
from stvr.heads.graphs import RegionGraph

LIKENESS_SCALE = 10.0  # of a cosine, before training; as in the matching head
LIKENESS_FOR = {3: (0.0, -0.5, 0.5), 2: (0.0, 1.0)}  # how much of it each class is given: for the last, against another


class Nodes(NamedTuple):
    """Regions: features (B, N, D), boxes (B, N, 4) xyxy in [0, 1], mask (B, N) bool, False on padding.

    clips (N,) int64: in which clip each stands. An overlap in two clips counts where their numbers follow each other.
    """

    features: Tensor
    boxes: Tensor
    mask: Tensor
    clips: Tensor

    def beside(self, others: Nodes) -> Nodes:
        """These, and then those of other videos, in clips that do not follow these."""
        apart = others.clips - others.clips.amin() + self.clips.amax() + 2
        joined = [torch.cat(parts, 1) for parts in zip(self[:3], others[:3], strict=True)]
        return Nodes._make([*joined, torch.cat([self.clips, apart])])

    def repeated(self, times: int) -> Nodes:
        """Each item so many times, one after the other."""
        return Nodes._make([*(each.repeat_interleave(times, 0) for each in self[:3]), self.clips])


def in_windows(values: Tensor, window: int) -> Tensor:
    """(B, T, K, ...) -> (B * windows, window * K, ...), the last window padded with zeros."""
    missing = -values.shape[1] % window
    padded = F.pad(values, (0, 0) * (values.ndim - 2) + (0, missing))
    return padded.unflatten(1, (-1, window)).flatten(2, 3).flatten(0, 1)


def out_of_windows(values: Tensor, num_items: int, num_clips: int, window: int) -> Tensor:
    """The inverse of `in_windows`: (B, T, K, ...)."""
    return values.unflatten(0, (num_items, -1)).unflatten(2, (window, -1)).flatten(1, 2)[:, :num_clips]


class GraphMatch(nn.Module):
    """Regions of references against those of their queries -> logits.

    A region is held against the mean of the query's, as they are and as the graph makes them, by product and difference
    and by a learned cosine, which speaks for the last class and, where there are three, against the one before.
    """

    speaks_for: Tensor

    def __init__(self, width: int, num_layers: int, num_classes: int) -> None:
        super().__init__()
        self.graph = RegionGraph(width, num_layers)
        self.embed = nn.Linear(2 * width, width)
        self.hidden = nn.Linear(6 * width, width)
        self.classify = nn.Linear(width, num_classes)
        self.scale = nn.Parameter(torch.tensor(LIKENESS_SCALE))
        self.register_buffer("speaks_for", torch.tensor(LIKENESS_FOR[num_classes]), persistent=False)

    def forward(self, regions: Nodes, query: Nodes) -> Tensor:
        """Of B references and their B queries: (B, N, classes), N the regions of the references."""
        both = regions.beside(query)
        seen = torch.cat([both.features, self.graph(both.features, both.boxes, both.clips, both.mask)], -1)
        found, asked = seen.split([regions.mask.shape[1], query.mask.shape[1]], 1)  # (B, N, 2D), (B, Q, 2D)
        asked = (asked * query.mask[..., None]).sum(1, keepdim=True)
        asked = asked / query.mask.sum(1)[:, None, None].clamp_min(1)
        compared = torch.cat([found, fuse(found, asked, "compare")], -1)  # (B, N, 6D)
        likeness = self.scale * F.cosine_similarity(self.embed(found), self.embed(asked), dim=-1)  # (B, N)
        return self.classify(F.relu(self.hidden(compared))) + likeness[..., None] * self.speaks_for
