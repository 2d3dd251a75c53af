"""Rows that are similar to everything (hubs): how much so, to be taken off their scores."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from stvr.library.exact import threads

BACKGROUND = 1_024  # rows that stand for all that may be asked, spread evenly over the index
NEAREST = 16  # of them whose similarity is averaged
SHARE = 0.5  # of that mean that is taken off; docs/library.md has what others find
PART = 2_048  # rows that are compared at one time


def hub_bias(vectors: NDArray[np.float16], video: NDArray[np.int32]) -> NDArray[np.float32]:
    """Unit vectors (N, D) and the video of each (N,) -> what is taken off each row's scores, (N,).

    SHARE x the mean cosine with the NEAREST most similar rows of the background that come from other videos (Chowdhury
    et al., EMNLP 2024, nearest neighbor normalization, where the background are queries). 0 where there are no others.
    """
    places = np.unique(np.linspace(0, len(vectors) - 1, min(len(vectors), BACKGROUND)).round().astype(np.int64))
    background = torch.from_numpy(np.ascontiguousarray(vectors[places])).float()
    owners = torch.from_numpy(np.ascontiguousarray(video[places]))
    bias = np.zeros(len(vectors), np.float32)

    def mark_down(first: int) -> None:
        part = slice(first, min(first + PART, len(vectors)))
        cosines = torch.from_numpy(np.ascontiguousarray(vectors[part])).float() @ background.T  # (P, background)
        own = torch.from_numpy(np.ascontiguousarray(video[part]))[:, None] == owners
        bias[part] = SHARE * mean_of_nearest(cosines.masked_fill(own, -torch.inf)).numpy()

    list(threads().map(mark_down, range(0, len(vectors), PART)))
    return bias


def mean_of_nearest(cosines: torch.Tensor) -> torch.Tensor:
    """(P, B), -inf where there is nothing -> the mean of the NEAREST highest of each row, of fewer, or 0: (P,)."""
    nearest = cosines.topk(min(NEAREST, cosines.shape[1]), 1).values
    there = nearest.isfinite()
    return nearest.masked_fill(~there, 0).sum(1) / there.sum(1).clamp_min(1)
