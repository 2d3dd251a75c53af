"""What the regions of a batch should have been: true boxes and labels, assigned."""

from __future__ import annotations

import torch
from torch import Tensor

from stvr.heads.boxes import POSITIVE, assign, encode
from stvr.structures import LABEL_NONE, Batch

POSITIVE_FROM = 0.5  # IoU with a true box


def in_pixels(size: tuple[int, int], like: Tensor) -> Tensor:
    """What turns boxes in [0, 1] into pixels of an image (height, width): (4,), of the kind of `like`."""
    height, width = size
    return like.new_tensor([width, height, width, height])


def pixel_truth(batch: Batch, size: tuple[int, int]) -> list[tuple[Tensor, Tensor]]:
    """The true boxes (G, 4) in pixels and labels (G,) of every clip of the batch, padding left out."""
    scale = in_pixels(size, batch.target_boxes)
    boxes, labels = (batch.target_boxes * scale).flatten(0, 1), batch.target_labels.flatten(0, 1)
    return [(box[label != LABEL_NONE], label[label != LABEL_NONE]) for box, label in zip(boxes, labels, strict=True)]


def assign_regions(
    regions: Tensor, mask: Tensor, truth: list[tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    """Labels (N, K) of regions (N, K, 4) in pixels, -1 where the mask (N, K) is not set; and their codes (N, K, 4)."""
    classes = torch.full(mask.shape, -1, device=regions.device)
    wanted = torch.zeros_like(regions)
    for clip, (boxes, labels) in enumerate(truth):
        real = mask[clip]
        own = regions[clip, real]
        state, index = assign(own, boxes, POSITIVE_FROM, POSITIVE_FROM, force=False)
        found = torch.zeros_like(index)
        if len(boxes):
            positive = state == POSITIVE
            found[positive] = labels[index[positive]]
            wanted[clip, real] = torch.where(positive[:, None], encode(boxes[index], own), 0.0)
        classes[clip, real] = found
    return classes, wanted


def columns(found: Tensor, labels: tuple[int, ...]) -> Tensor:
    """Labels (N, K) as columns of the logits: 0 for those that are no class of their own; -1 stays."""
    column = found.clamp_max(0)
    for number, label in enumerate(labels, 1):
        column = torch.where(found == label, number, column)
    return column
