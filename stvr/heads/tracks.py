"""What somebody does lasts longer than a clip: the evidence of a candidate is that of all its track, not of one clip."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import box_iou

LEAST_IOU = 0.3  # of two candidates in neighbouring clips that may be the same actor


def along_tracks(evidence: Tensor, boxes: Tensor, real: Tensor, carried: float, window: int) -> Tensor:
    """Evidence (N, K) of candidates in N clips in a row -> (N, K): averaged along the track of each.

    A candidate is followed to the one that it overlaps most in the next clip, and in the clip before, as long as they
    share LEAST_IOU; each clip further away counts `carried` times as much. boxes (N, K, 4), real (N, K) bool. No track
    leaves its window of so many clips, counted from the first one.
    """
    parts = zip(*(each.split(window) for each in (evidence, boxes, real)), strict=True)
    return torch.cat([in_one_window(*part, carried) for part in parts]) if len(evidence) else evidence


def in_one_window(evidence: Tensor, boxes: Tensor, real: Tensor, carried: float) -> Tensor:
    before, count_before = one_way(evidence, boxes, real, carried)
    backwards = (each.flip(0) for each in (evidence, boxes, real))
    after, count_after = (each.flip(0) for each in one_way(*backwards, carried))
    return (before + after - evidence) / (count_before + count_after - 1)


def one_way(evidence: Tensor, boxes: Tensor, real: Tensor, carried: float) -> tuple[Tensor, Tensor]:
    """Weighted sums of the evidence of each candidate and of those it is followed to, in earlier clips; and weights."""
    sums, counts = [evidence[0]], [torch.ones_like(evidence[0])]
    for clip in range(1, len(evidence)):
        iou = box_iou(boxes[clip], boxes[clip - 1]).nan_to_num(0.0) * real[clip - 1]
        shared, index = iou.max(1)
        weight = carried * (shared >= LEAST_IOU)
        sums.append(evidence[clip] + weight * sums[-1][index])
        counts.append(1 + weight * counts[-1][index])
    return torch.stack(sums), torch.stack(counts)
