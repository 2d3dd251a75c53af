"""IoUs and areas of many boxes at once, in numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Indices = NDArray[np.int64]


def paired_iou(boxes: Floats, others: Floats) -> Floats:
    """IoU (N,) of each of the boxes (N, 4) with its partner in others (N, 4); 0 for two boxes without area."""
    return paired_overlap(boxes, others)[0]


def paired_overlap(boxes: Floats, others: Floats) -> tuple[Floats, Floats]:
    """IoU (N,) and area of the intersection (N,) of each box with its partner."""
    width = np.maximum(np.minimum(boxes[:, 2], others[:, 2]) - np.maximum(boxes[:, 0], others[:, 0]), 0)
    height = np.maximum(np.minimum(boxes[:, 3], others[:, 3]) - np.maximum(boxes[:, 1], others[:, 1]), 0)
    shared = width * height
    union = areas(boxes) + areas(others) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0), shared


def areas(boxes: Floats) -> Floats:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
