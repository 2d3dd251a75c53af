"""What is true of a pair, clip by clip: the boxes of the query's label, of the others, of everybody."""

from __future__ import annotations

import torch
from torch import Tensor

from stvr.structures import LABEL_DIFFERENT, LABEL_SAME, Pair
from stvr.tubelets.by_clip import ClipBoxes, boxes_by_clip


def targets_by_clip(pair: Pair) -> list[ClipBoxes]:
    """For every clip of the reference, the boxes of the query's label."""
    return boxes_by_clip(pair.targets, pair.reference.start, len(pair.reference))


def others_by_clip(pair: Pair) -> list[ClipBoxes]:
    """For every clip of the reference, the boxes of any other label."""
    return boxes_by_clip(pair.others, pair.reference.start, len(pair.reference))


def everyone_by_clip(pair: Pair) -> list[ClipBoxes]:
    """For every clip of the reference, all annotated boxes: those of the targets first, then those of the others."""
    return boxes_by_clip((*pair.targets, *pair.others), pair.reference.start, len(pair.reference))


def truth_of(pair: Pair) -> tuple[Tensor, Tensor]:
    """All annotated boxes of the reference as tensors: boxes (T, G, 4), labels (T, G), 0 where there is no box."""
    clips = everyone_by_clip(pair)
    most = max(1, *(len(clip.boxes) for clip in clips))
    boxes, labels = torch.zeros(len(clips), most, 4), torch.zeros(len(clips), most, dtype=torch.long)
    for index, clip in enumerate(clips):
        boxes[index, : len(clip.boxes)] = clip.boxes
        for slot, owner in enumerate(clip.owners):
            labels[index, slot] = LABEL_SAME if owner < len(pair.targets) else LABEL_DIFFERENT
    return boxes, labels
