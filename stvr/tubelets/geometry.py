"""How boxes and tubelets overlap. Boxes are xyxy in [0, 1] unless a name says pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from stvr.structures import Detections, Tubelet


def of_label(detections: Detections, label: int) -> Detections:
    """The detections of one class, in their order."""
    kept = detections.labels == label
    return Detections(detections.boxes[kept], detections.scores[kept], detections.labels[kept])


def to_pixels(boxes: Tensor, width: int, height: int) -> Tensor:
    """Boxes (..., 4) in [0, 1] -> pixels of a picture `width` x `height`; these are edges, so there is no + 1."""
    return boxes * boxes.new_tensor([width, height, width, height])


def tube_iou(first: Tubelet, second: Tubelet) -> float:
    """Temporal IoU x mean spatial IoU over the shared clips (MultiSports, UCF101-24), in [0, 1]."""
    shared = shared_areas(first, second)
    if shared is None:
        return 0.0
    intersection, union = shared
    num_clips = len(first.span) + len(second.span) - len(intersection)
    return float(ious(intersection, union).sum() / num_clips)  # shared / all clips x sum / shared


def tube_cover(first: Tubelet, second: Tubelet) -> float:
    """Sum of the IoUs over the shared clips / the clips of the shorter one: 1 when one is a part of the other."""
    shared = shared_areas(first, second)
    if shared is None:
        return 0.0
    return float(ious(*shared).sum() / min(len(first.span), len(second.span)))


def shared_areas(first: Tubelet, second: Tubelet) -> tuple[Tensor, Tensor] | None:
    """Intersection (S,) and union (S,) of the two boxes of each shared clip; None without a shared clip."""
    a, b = first.within(second.span), second.within(first.span)
    if a is None or b is None:
        return None
    corner, opposite = torch.maximum(a.boxes[:, :2], b.boxes[:, :2]), torch.minimum(a.boxes[:, 2:], b.boxes[:, 2:])
    intersection = (opposite - corner).clamp(min=0).prod(1)
    return intersection, areas(a.boxes) + areas(b.boxes) - intersection


def areas(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)


def ious(intersection: Tensor, union: Tensor) -> Tensor:
    """Two boxes without area do not overlap: 0, not 0 / 0."""
    return torch.where(union > 0, intersection / union.clamp(min=torch.finfo(union.dtype).tiny), 0.0)
