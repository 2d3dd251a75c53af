"""What the regions of a batch should have been: true boxes and labels, assigned."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from stvr.heads.boxes import POSITIVE, assign, at, encode, in_pixels
from stvr.structures import LABEL_NONE, Batch

POSITIVE_FROM = 0.5  # IoU with a true box
UNKNOWN = -1  # the class of what is no region


class Truth(NamedTuple):
    """Of N clips: true boxes (N, G, 4) in pixels, labels (N, G), LABEL_NONE where there is no box; G is at least 1."""

    boxes: Tensor
    labels: Tensor

    @property
    def real(self) -> Tensor:
        """Which are no padding, (N, G) bool."""
        return self.labels != LABEL_NONE


def pixel_truth(batch: Batch, size: tuple[int, int]) -> Truth:
    """Of every clip of the batch, on images of (height, width)."""
    boxes, labels = (batch.target_boxes * in_pixels(size, batch.target_boxes)).flatten(0, 1), batch.target_labels
    missing = max(0, 1 - boxes.shape[1])
    return Truth(F.pad(boxes, (0, 0, 0, missing)), F.pad(labels.flatten(0, 1), (0, missing), value=LABEL_NONE))


def assign_regions(regions: Tensor, mask: Tensor, truth: Truth) -> tuple[Tensor, Tensor]:
    """Labels (N, K) of regions (N, K, 4) in pixels, UNKNOWN where the mask (N, K) is not set; and codes (N, K, 4)."""
    state, index = assign(regions, truth.boxes, truth.real, POSITIVE_FROM, POSITIVE_FROM, force=False)
    positive = (state == POSITIVE) & mask
    found = torch.where(positive, truth.labels.gather(1, index), LABEL_NONE).masked_fill(~mask, UNKNOWN)
    return found, torch.where(positive[..., None], encode(at(truth.boxes, index), regions), 0.0)


def columns(found: Tensor, labels: tuple[int, ...]) -> Tensor:
    """Labels (N, K) as columns of the logits: 0 for those that are no class of their own; UNKNOWN stays."""
    column = found.clamp_max(0)
    for number, label in enumerate(labels, 1):
        column = torch.where(found == label, number, column)
    return column
