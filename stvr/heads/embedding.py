"""A region as one vector, trained so that equal actions lie close: for matching that is learned from little data."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stvr.structures import LABEL_DIFFERENT, LABEL_SAME

DIMENSIONS = 128  # of an embedding
TEMPERATURE = 0.1  # Khosla et al., Supervised Contrastive Learning, 2020


class Embedding(nn.Module):
    """Regions (..., 7, 7, C) -> (..., D)."""

    def __init__(self, channels: int, width: int, dimensions: int = DIMENSIONS) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, width, 1)
        self.spread = nn.Conv2d(width, width, 3, padding=1)
        self.project = nn.Linear(2 * width, dimensions)

    def forward(self, regions: Tensor) -> Tensor:
        maps = regions.flatten(0, -4).permute(0, 3, 1, 2)
        hidden = F.relu(self.reduce(maps))
        hidden = F.relu(hidden + self.spread(hidden))
        pooled = torch.cat([hidden.mean((2, 3)), hidden.amax((2, 3))], 1)
        return self.project(pooled).unflatten(0, regions.shape[:-3])


def contrastive_loss(queries: Tensor, asked: Tensor, regions: Tensor, owner: Tensor, labels: Tensor) -> Tensor:
    """Queries draw near to what shows their label and away from all else whose label is known (supervised contrast).

    queries (B, D) and regions (R, D) of unit length; asked (B,): the label of each query. Region r lies in the
    reference of query owner[r]; labels[r]: LABEL_SAME where it shows that query's label, LABEL_DIFFERENT where it shows
    another one: that one is known only to its owner. Any other label leaves the region out.
    """
    same, seen = labels == LABEL_SAME, (labels == LABEL_SAME) | (labels == LABEL_DIFFERENT)
    batch = len(queries)
    candidates = torch.cat([queries, regions])  # (B + R, D)
    similarity = queries @ candidates.T / TEMPERATURE
    alike = asked[:, None] == asked[owner][None]  # (B, R)
    own = torch.arange(batch, device=queries.device)[:, None] == owner[None]
    others = asked[:, None] == asked[None]
    positive = torch.cat([others.fill_diagonal_(False), alike & same], 1)
    known = torch.cat([~torch.eye(batch, dtype=torch.bool, device=queries.device), (own & seen) | same], 1)
    lowest = torch.finfo(similarity.dtype).min  # not infinity: a query may know of nothing
    log_share = similarity - similarity.masked_fill(~known, lowest).logsumexp(1, keepdim=True)
    count = positive.sum(1)
    terms = log_share.where(positive, 0).sum(1) / count.clamp_min(1)
    return -terms.sum() / (count > 0).sum().clamp_min(1)
