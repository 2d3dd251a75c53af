"""The largest mistake of an answer: the one clip of a reference that is worth looking at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import box_iou

from stvr.metrics.frame_map import ClipRecord

IOU = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Mistake:
    """clip: index in the reference. box (4,) xyxy in [0, 1] and score: the false detection; None where a true box was
    missed."""

    clip: int
    box: Tensor | None = None
    score: float | None = None


def largest_mistake(clips: Sequence[ClipRecord]) -> Mistake | None:
    """The clip of the best-scored detection that overlaps no true box by IoU 0.5, the first of equals.

    Without such a detection, the first clip in which a true box was missed; if there is none, None.
    """
    worst: Mistake | None = None
    for index, clip in enumerate(clips):
        wrong = ~reached(clip.boxes, clip.truth)
        if wrong.any():
            best = int(torch.where(wrong, clip.scores, -torch.inf).argmax())
            score = float(clip.scores[best])
            if worst is None or worst.score is None or score > worst.score:
                worst = Mistake(index, clip.boxes[best], score)
        elif worst is None and not reached(clip.truth, clip.boxes).all():
            worst = Mistake(index)
    return worst


def reached(boxes: Tensor, others: Tensor) -> Tensor:
    """Which of the boxes (N, 4) overlap any of the others (M, 4) by IoU 0.5: (N,) bool."""
    if not len(others):
        return torch.zeros(len(boxes), dtype=torch.bool)
    return (box_iou(boxes.double(), others.double()) >= IOU).any(1)
