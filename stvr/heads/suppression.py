"""Non-maximum suppression of many clips at once, in a fixed number of steps: nothing waits for what a step finds."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def suppress(
    boxes: Tensor, scores: Tensor, max_iou: float, most: int, real: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The best boxes that do not overlap: index (N, K), best first, and which of them were found, (N, K) bool.

    boxes (N, A, 4) float32, scores (N, A) above minus infinity, K = min(most, A); real (N, A) bool: which boxes count,
    None all. The first K of what torchvision's `nms` keeps of each clip on a CPU, ties and rounding too (on CUDA it
    rounds `max_iou` to float32, which matters where an IoU is that very number).
    """
    low, high = boxes.detach().movedim(-1, 0).split(2)
    edges = torch.stack([low, -high])  # (2, 2, N, A): of two boxes, the inner edges are the larger
    areas, threshold = (high - low).prod(0), largest_not_above(max_iou)
    left = scores.detach().clone() if real is None else scores.detach().masked_fill(~real, -torch.inf)
    index, values = [], []
    for _ in range(min(most, boxes.shape[1])):
        value, best = left.max(-1, keepdim=True)  # (N, 1), the first of equal ones
        inner = torch.maximum(edges, edges.gather(-1, best.expand(2, 2, -1, -1)))
        shared = inner.sum(0).clamp_max(0).prod(0)  # both sides are below zero
        overlaps = shared / (areas + areas.gather(-1, best) - shared) > threshold
        left.masked_fill_(overlaps, -torch.inf).scatter_(-1, best, -torch.inf)
        index.append(best)
        values.append(value)
    return torch.cat(index, -1), torch.cat(values, -1) > -torch.inf


def largest_not_above(number: float) -> float:
    """As float32. torch rounds a number to the kind of the tensor that it compares; `nms` compares with it as it is."""
    rounded = np.float32(number)
    return float(rounded if float(rounded) <= number else np.nextafter(rounded, np.float32(-np.inf)))
