"""Crop and maximum in plain torch, fast: four taps by embedding_bag, a few boxes at a time.

Runs on any device, and is what a CPU uses. Each function has its twin of the same name in launch.py.
All are below autograd: ops.py joins forward and backward.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from .reference import BINS, POOL, SAMPLES, samples_of

PLACES = POOL * POOL  # of a sample within its bin
EACH = SAMPLES * SAMPLES  # samples of a box
NUMBERS = 1 << 19  # samples at a time, over all channels: what a processor's second cache holds
NARROWEST = 32  # channels at a time


def crop_max(maps: Tensor, boxes: Tensor, owners: Tensor | None, keep: bool) -> tuple[Tensor, Tensor]:
    """(R, 7, 7, C), and with `keep` which of a bin's four samples is the largest, the first of equals, as uint8."""
    num_boxes, channels = len(boxes), maps.shape[-1]
    rows, weights, inside = taps_of(boxes, owners_of(owners, num_boxes, len(maps), boxes.device), maps.shape)
    table = maps.to(wide(maps.dtype)).reshape(-1, channels)
    off = not bool(inside.all())
    answer = maps.new_empty(num_boxes, BINS * BINS, channels)
    which = torch.empty(answer.shape if keep else (0,), dtype=torch.uint8, device=maps.device)
    step = max(1, NUMBERS // (EACH * channels))
    for first in range(0, num_boxes, step):
        here = slice(first, first + step)
        samples = F.embedding_bag(
            rows[here].flatten(0, -2), table, per_sample_weights=weights[here].flatten(0, -2).to(table), mode="sum"
        ).unflatten(0, (-1, PLACES, BINS * BINS))
        if off:
            samples.masked_fill_(~inside[here, :, :, None], 0)  # whatever stands in the cell that has no weight
        top_left, top_right, bottom_left, bottom_right = samples.unbind(1)
        top, bottom = torch.maximum(top_left, top_right), torch.maximum(bottom_left, bottom_right)
        torch.maximum(top, bottom, out=answer[here])
        if keep:
            lower = bottom > top
            right = torch.where(lower, bottom_right > bottom_left, top_right > top_left).view(torch.uint8)
            torch.add(right, lower.view(torch.uint8), alpha=POOL, out=which[here])
    shape = (num_boxes, BINS, BINS, channels)
    return answer.reshape(shape), which.reshape(shape) if keep else which


def crop_max_backward(
    grad: Tensor, which: Tensor, boxes: Tensor, owners: Tensor | None, num_maps: int, height: int, width: int
) -> Tensor:
    """The gradient of the maps (N, H, W, C): each cell gathers, in a fixed order, from the samples that read it."""
    num_boxes, channels, cells = len(boxes), grad.shape[-1], height * width
    owner = owners_of(owners, num_boxes, num_maps, boxes.device)
    grad, which = (each.reshape(num_boxes, 1, BINS * BINS, channels) for each in (grad, which))
    if owners is not None:
        order = owner.argsort(stable=True)
        grad, which, boxes, owner = grad[order], which[order], boxes[order], owner[order]
    rows, weights, _ = taps_of(boxes, owner, torch.Size((num_maps, height, width, channels)))
    order = rows.flatten().argsort(stable=True)
    reader, weights = order // 4, weights.flatten()[order].to(wide(grad.dtype))
    starts = starts_of(rows.flatten(), num_maps * cells)
    starts_of_maps = [*starts_of(owner, num_maps).tolist(), num_boxes]
    most = max([1, *(after - before for before, after in pairwise(starts_of_maps))])
    step = max(1, NUMBERS // (EACH * channels * most))  # maps at a time
    block = max(NARROWEST, 1 << max(1, NUMBERS // (EACH * most * step)).bit_length() - 1)
    places = torch.arange(PLACES, dtype=torch.uint8, device=grad.device)[:, None, None]
    answer = grad.new_zeros(num_maps * cells, channels)
    for first in range(0, num_maps, step):
        after = min(first + step, num_maps)
        low, high = starts_of_maps[first], starts_of_maps[after]
        if low == high:
            continue
        taps, bags = slice(4 * EACH * low, 4 * EACH * high), slice(first * cells, after * cells)
        for channel in range(0, channels, block):
            part = (slice(low, high), ..., slice(channel, channel + block))
            chosen = (grad[part] * (which[part] == places)).to(weights.dtype)  # (K, 4, 49, c)
            answer[bags, part[-1]] = F.embedding_bag(
                reader[taps] - EACH * low, chosen.flatten(0, 2), starts[bags] - taps.start,
                per_sample_weights=weights[taps], mode="sum",
            ).to(answer.dtype)  # fmt: skip
    return answer.reshape(num_maps, height, width, channels)


def taps_of(boxes: Tensor, owners: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of maps (N, H, W, C) that each sample reads, their weights, and whether it is on the map.

    (R, 4, 49, 4), (R, 4, 49, 4) and (R, 4, 49): a bin's samples, row by row; the bins; a sample's taps.
    """
    _, height, width, _ = shape
    across, down = samples_of(boxes, height, width)
    row, column = (torch.stack([side.before, side.after], -1) for side in (down, across))  # (R, 14, 2)
    row = (owners[:, None, None] * height + row) * width
    inside = down.inside[:, :, None] & across.inside[:, None, :]  # (R, 14, 14)
    down_weight, across_weight = (torch.stack([1 - side.part, side.part], -1) for side in (down, across))
    weights = down_weight[:, :, None, :, None] * across_weight[:, None, :, None, :]  # (R, 14, 14, 2, 2)
    weights = torch.where(inside[..., None, None], weights, 0.0)
    rows = row[:, :, None, :, None] + column[:, None, :, None, :]
    return by_bin(rows).flatten(3), by_bin(weights).flatten(3), by_bin(inside)


def by_bin(samples: Tensor) -> Tensor:
    """(R, 14, 14, ...) -> (R, 4, 49, ...)"""
    split = samples.unflatten(2, (BINS, POOL)).unflatten(1, (BINS, POOL))  # (R, 7, 2, 7, 2, ...)
    return split.movedim((2, 4), (1, 2)).flatten(3, 4).flatten(1, 2)


def owners_of(owners: Tensor | None, num_boxes: int, num_maps: int, device: torch.device) -> Tensor:
    """As they are, or equally many boxes for each map, one map after another."""
    if owners is not None:
        return owners.long()
    return torch.arange(num_boxes, device=device) // max(1, num_boxes // max(1, num_maps))


def starts_of(groups: Tensor, count: int) -> Tensor:
    """Where each of `count` groups starts once they are sorted."""
    sizes = torch.bincount(groups, minlength=count)
    return sizes.cumsum(0) - sizes


def wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)
