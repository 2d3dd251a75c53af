"""Graphs of regions, by likeness and by overlap from clip to clip, and what convolutions make of their nodes.

Wang and Gupta, "Videos as Space-Time Region Graphs", ECCV 2018.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import box_iou

NUM_LAYERS = 3


class SimilarityGraph(nn.Module):
    """How alike two nodes are, learned: the softmax over j of (W x_i) (W' x_j)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.source = nn.Linear(width, width, bias=False)
        self.target = nn.Linear(width, width, bias=False)

    def forward(self, nodes: Tensor, mask: Tensor) -> Tensor:
        """nodes (B, N, D), mask (B, N) bool -> (B, N, N), rows that sum to 1, or to 0 for what is no node."""
        alike = self.source(nodes).float() @ self.target(nodes).float().mT  # (B, N, N)
        alike = alike.masked_fill(~mask[:, None], torch.finfo(alike.dtype).min)  # not infinity: all may be padding
        return alike.softmax(-1) * pairs(mask)


def space_time_graphs(boxes: Tensor, clips: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The IoU of each box with those one clip later, and with those one clip earlier, as shares: (B, N, N) twice.

    boxes (B, N, 4); clips (N,) int64: in which clip each stands; mask (B, N) bool. Rows sum to 1, or to 0 where a box
    meets none.
    """
    overlap = box_iou(boxes, boxes).nan_to_num(0.0) * pairs(mask)  # a padded box has no area
    follows = clips[:, None] + 1 == clips  # (N, N): column one clip after row
    return shares(overlap * follows), shares(overlap * follows.T)


def pairs(mask: Tensor) -> Tensor:
    """(B, N) bool -> (B, N, N) bool: both are nodes."""
    return mask[:, :, None] & mask[:, None]


def shares(weights: Tensor) -> Tensor:
    """Rows of weights >= 0 divided by their sum; rows of zeros stay."""
    total = weights.sum(-1, keepdim=True)
    return weights / total.where(total > 0, 1.0)


class GraphConvolution(nn.Module):
    """Z = ReLU(LayerNorm(sum over the graphs g of G_g X W_g)); normed: whether the layer is normalised."""

    def __init__(self, width: int, num_graphs: int, normed: bool = True) -> None:
        super().__init__()
        self.weights = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(num_graphs))
        self.norm = nn.LayerNorm(width) if normed else nn.Identity()

    def forward(self, nodes: Tensor, graphs: Sequence[Tensor]) -> Tensor:
        """nodes (B, N, D), graphs (B, N, N) -> (B, N, D)."""
        gathered = [graph @ weight(nodes) for graph, weight in zip(graphs, self.weights, strict=True)]
        return F.relu(self.norm(torch.stack(gathered).sum(0)))


class RegionGraph(nn.Module):
    """Two branches of convolutions, by likeness and by overlap, which meet after their last layer; or one of the two.

    normed: whether their layers are normalised.
    """

    def __init__(
        self, width: int, num_layers: int = NUM_LAYERS, *, likeness: bool = True, overlap: bool = True,
        normed: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.similarity = SimilarityGraph(width) if likeness else None
        self.by_likeness = branch(width, num_layers if likeness else 0, 1, normed)
        self.by_overlap = branch(width, num_layers if overlap else 0, 2, normed)

    def forward(self, nodes: Tensor, boxes: Tensor, clips: Tensor, mask: Tensor) -> Tensor:
        """nodes (B, N, D), their boxes (B, N, 4), clips (N,) and mask (B, N) -> (B, N, D), zeros for no node."""
        found = []
        if self.similarity is not None:
            found.append(convolved(nodes, [self.similarity(nodes, mask)], self.by_likeness))
        if self.by_overlap:
            found.append(convolved(nodes, space_time_graphs(boxes, clips, mask), self.by_overlap))
        return torch.stack(found).sum(0) * mask[..., None]


def branch(width: int, num_layers: int, num_graphs: int, normed: bool) -> nn.ModuleList:
    return nn.ModuleList(GraphConvolution(width, num_graphs, normed) for _ in range(num_layers))


def convolved(nodes: Tensor, graphs: Sequence[Tensor], layers: nn.ModuleList) -> Tensor:
    for layer in layers:
        nodes = layer(nodes, graphs)
    return nodes
