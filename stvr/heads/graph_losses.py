"""What the candidates of a region graph should have been, and how far its logits are from it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_iou

from stvr.heads.boxes import encode
from stvr.structures import LABEL_NONE, LABEL_SAME, Batch

POSITIVE_FROM = 0.4  # IoU with a true box; boxes of a grid seldom have more, and are refined afterwards
NUM_CLASSES = {"softmax": 3, "multi_label": 2}


def wanted_of(boxes: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Of candidates (B, T, K, 4): the label (B, T, K) int64 of the true box that each overlaps most, and its code."""
    truth, labels = F.pad(batch.target_boxes, (0, 0, 0, 1)), F.pad(batch.target_labels, (0, 1), value=LABEL_NONE)
    overlap, index = box_iou(boxes, truth).nan_to_num(0.0).max(-1)  # (B, T, K)
    nearest = truth.gather(2, index[..., None].expand(*index.shape, 4))
    return labels.gather(2, index).where(overlap >= POSITIVE_FROM, LABEL_NONE), encode(nearest, boxes)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Logits (M, 3), labels (M,) -> their sum."""
    return F.cross_entropy(logits, labels, reduction="sum")


def two_cross_entropies(logits: Tensor, labels: Tensor) -> Tensor:
    """Logits (M, 2) of whether anything is done, and whether the query's action; labels (M,) -> half of their sum."""
    truth = torch.stack([labels != LABEL_NONE, labels == LABEL_SAME], -1).to(logits)
    return F.binary_cross_entropy_with_logits(logits, truth, reduction="sum") / 2


LOSSES = {"softmax": cross_entropy, "multi_label": two_cross_entropies}
