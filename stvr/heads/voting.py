"""Boxes that suppression left alone are drawn towards those that it took away (Gidaris and Komodakis, ICCV 2015)."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import box_iou


def vote(kept: Tensor, boxes: Tensor, scores: Tensor, real: Tensor, min_iou: float) -> Tensor:
    """Kept boxes (N, K, 4) -> (N, K, 4): the mean of all boxes (N, A, 4) that share at least `min_iou` with each.

    Weighted by their scores (N, A); real (N, A) bool: which boxes count. A kept box without a voter stays as it is.
    """
    near = (box_iou(kept, boxes) >= min_iou) & real[:, None]
    weights = scores[:, None] * near  # (N, K, A)
    total = weights.sum(-1, keepdim=True)
    return torch.where(total > 0, weights @ boxes.where(real[..., None], 0) / total.clamp_min(1e-12), kept)
