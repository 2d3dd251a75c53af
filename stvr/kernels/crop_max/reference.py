"""What crop and maximum mean: plain PyTorch, differentiable towards the maps, exact in float64.

The samples are those of TensorFlow's `crop_and_resize`, with which the program of Feng et al. 2019 crops regions.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

SAMPLES = 14  # along a side of a box
POOL = 2
BINS = SAMPLES // POOL
ROUNDING = 1e-6  # of an edge at 1 that floats carry past it: still on the map


def crop_max(maps: Tensor, boxes: Tensor, owners: Tensor) -> Tensor:
    """maps (N, H, W, C), boxes (R, 4) xyxy in [0, 1], owners (R,): the map of each box -> (R, 7, 7, C)."""
    crops = crop(maps, boxes, owners).permute(0, 3, 1, 2)  # (R, C, 14, 14)
    return F.max_pool2d(crops, POOL).permute(0, 2, 3, 1)


def crop(maps: Tensor, boxes: Tensor, owners: Tensor) -> Tensor:
    """The samples before the maximum, (R, 14, 14, C)."""
    across, down = samples_of(boxes, *maps.shape[1:3])
    total = maps.new_zeros(len(boxes), SAMPLES, SAMPLES, maps.shape[-1])
    for row, row_weight in ((down.before, 1 - down.part), (down.after, down.part)):
        for column, column_weight in ((across.before, 1 - across.part), (across.after, across.part)):
            weight = row_weight[:, :, None] * column_weight[:, None, :]
            tap = maps[owners[:, None, None], row[:, :, None], column[:, None, :]]  # (R, 14, 14, C)
            total = total + weight[..., None].to(maps.dtype) * tap
    inside = down.inside[:, :, None] & across.inside[:, None, :]
    return torch.where(inside[..., None], total, 0.0)


class Samples(NamedTuple):
    """Of each box along one side, (R, 14) all: the cells on both sides of a sample, how far it is from the first."""

    before: Tensor
    after: Tensor
    part: Tensor
    inside: Tensor  # on the map; a sample that is not is 0


def samples_of(boxes: Tensor, height: int, width: int) -> tuple[Samples, Samples]:
    """Across and down."""
    left, top, right, bottom = boxes.unbind(-1)
    return samples_along(left, right, width), samples_along(top, bottom, height)


def samples_along(low: Tensor, high: Tensor, length: int) -> Samples:
    """Edges (R,) as shares of a side of `length` cells, whose outermost centres are at 0 and 1."""
    first, last = 2 * low - 1, 2 * high - 1  # -1 and 1 are the outermost centres
    steps = torch.linspace(0, 1, SAMPLES, device=low.device, dtype=low.dtype)
    along = (first[:, None] + steps * (last - first)[:, None]).nan_to_num(torch.inf)
    inside = (along.abs() <= 1 + ROUNDING) | (length == 1)
    position = (along.clamp(-1, 1) + 1) / 2 * (length - 1)
    before = position.floor()
    return Samples(before.long(), (before.long() + 1).clamp_max(length - 1), position - before, inside)
