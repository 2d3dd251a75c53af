"""Launches the Triton kernels of crop and maximum; each function has its plain twin of the same name in cpu.py."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import kernel
from .kernel import OPTIONS, TILES, Tiles
from .reference import BINS


def crop_max(maps: Tensor, boxes: Tensor, owners: Tensor | None, keep: bool) -> tuple[Tensor, Tensor]:
    """(R, 7, 7, C), and with `keep` which of a bin's four samples is the largest, the first of equals, as uint8."""
    (num_maps, height, width, channels), num_boxes = maps.shape, len(boxes)
    maps, boxes = maps.contiguous(), boxes.contiguous()
    answer = torch.empty(num_boxes, BINS, BINS, channels, dtype=maps.dtype, device=maps.device)
    which = torch.empty(answer.shape if keep else (0,), dtype=torch.uint8, device=maps.device)
    if not num_boxes:
        return answer, which
    sizes, blocks = sizes_of(maps.dtype, height, width, channels)
    with torch.cuda.device_of(maps):
        kernel.crop_max_forward[num_boxes * BINS, blocks](
            maps, boxes, boxes if owners is None else owners.contiguous(), answer, which,
            max(1, num_boxes // num_maps), num_maps, OWNED=owners is not None, KEEP=keep, **sizes,
        )  # fmt: skip
    return answer, which


def crop_max_backward(
    grad: Tensor, which: Tensor, boxes: Tensor, owners: Tensor | None, num_maps: int, height: int, width: int
) -> Tensor:
    """The gradient of the maps (N, H, W, C): each cell sums, in a fixed order, over the bins that read it."""
    channels = grad.shape[-1]
    grad, which, boxes = grad.contiguous(), which.contiguous(), boxes.contiguous()
    answer = torch.empty(num_maps, height, width, channels, dtype=grad.dtype, device=grad.device)
    if not num_maps:
        return answer
    order = starts = boxes
    if owners is not None:
        ordered, order = owners.long().sort(stable=True)
        starts = torch.searchsorted(ordered, torch.arange(num_maps + 1, device=grad.device))
    sizes, blocks = sizes_of(grad.dtype, height, width, channels)
    with torch.cuda.device_of(grad):
        kernel.crop_max_backward[height * width, num_maps, blocks](
            grad, which, boxes, order, starts, answer, len(boxes) // num_maps, OWNED=owners is not None, **sizes,
        )  # fmt: skip
    return answer


def sizes_of(dtype: torch.dtype, height: int, width: int, channels: int) -> tuple[dict[str, Any], int]:
    """What the kernels are compiled for, and how many blocks of channels there are."""
    tiles = tiles_for(dtype)
    block = kernel.block_of(channels, tiles)
    sizes = {"HEIGHT": height, "WIDTH": width, "CHANNELS": channels, "BLOCK": block, "num_warps": tiles.warps}
    return {**sizes, **OPTIONS}, -(-channels // block)


def tiles_for(dtype: torch.dtype) -> Tiles:
    return TILES["hip" if torch.version.hip else "cuda", min(dtype.itemsize, 4)]
