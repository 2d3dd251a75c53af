"""How boxes and tubelets overlap. Boxes are xyxy in [0, 1] unless a name says pixels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from stvr.structures import Detections, Tubelet
from stvr.tubelets.overlaps import Floats, paired_iou


def of_label(detections: Detections, label: int) -> Detections:
    """The detections of one class, in their order."""
    kept = detections.labels == label
    return Detections(detections.boxes[kept], detections.scores[kept], detections.labels[kept])


def to_pixels(boxes: Tensor, width: int, height: int) -> Tensor:
    """Boxes (..., 4) in [0, 1] -> pixels of a picture `width` x `height`; these are edges, so there is no + 1."""
    return boxes * boxes.new_tensor([width, height, width, height])


def mirrored(boxes: Tensor) -> Tensor:
    """Boxes (..., 4) xyxy in [0, 1] as a picture mirrored left to right shows them."""
    left, top, right, bottom = boxes.unbind(-1)
    return torch.stack([1 - right, top, 1 - left, bottom], -1)


def tube_iou(first: Tubelet, second: Tubelet) -> float:
    """Temporal IoU x mean spatial IoU over the shared clips (MultiSports, UCF101-24), in [0, 1]."""
    ious = shared_ious(first, second)
    return float(ious.sum()) / (len(first.span) + len(second.span) - len(ious))  # shared / all clips x sum / shared


def tube_cover(first: Tubelet, second: Tubelet) -> float:
    """Sum of the IoUs over the shared clips / the clips of the shorter one: 1 when one is a part of the other."""
    return float(shared_ious(first, second).sum()) / min(len(first.span), len(second.span))


def shared_ious(first: Tubelet, second: Tubelet) -> Floats:
    """The IoU of the two boxes of each shared clip, (S,). On arrays: an answer holds hundreds of pairs together."""
    start, stop = max(first.span.start, second.span.start), min(first.span.stop, second.span.stop)
    if first.span.video != second.span.video or start >= stop:
        return np.empty(0)
    shared = [each.boxes[start - each.span.start : stop - each.span.start].numpy() for each in (first, second)]
    return paired_iou(*shared)
