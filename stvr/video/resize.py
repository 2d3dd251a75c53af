"""Resize as TensorFlow 1 did: what the authors' loader uses, for features that must equal theirs."""

from __future__ import annotations

import torch
from torch import Tensor


def resize_tf1(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """frames (..., H, W, C), uint8 or floating -> (..., *size, C) float32 in the same units, not rounded.

    Bilinear, from the top left corner: output i is read at i * H / height, with no half-pixel centres, no averaging of
    the pixels that shrinking skips, and the last row and column repeated (`tf.image.resize_bilinear` of TensorFlow 1
    with its defaults). size: (height, width). Frames that already have that size are returned unchanged, as float32.
    """
    if frames.dim() < 3 or min(*frames.shape[-3:], *size) < 1:
        raise ValueError(f"wanted frames (..., H, W, C) and a size of at least 1 x 1; got {tuple(frames.shape)} "
                         f"and {tuple(size)}.")
    resized = frames.float()
    for axis, wanted in ((-2, size[1]), (-3, size[0])):  # columns first, as TensorFlow rounds
        resized = along(resized, axis, wanted)
    return resized


def along(frames: Tensor, axis: int, wanted: int) -> Tensor:
    """`frames` resampled to `wanted` samples along one axis."""
    length = frames.shape[axis]
    if length == wanted:
        return frames
    scale = torch.tensor(length, dtype=torch.float32) / wanted  # float32, as TensorFlow counts
    positions = torch.arange(wanted, dtype=torch.float32) * scale
    low = positions.floor().long()
    high = (low + 1).clamp_max(length - 1)
    share = (positions - low).to(frames.device).reshape(-1, *[1] * (-axis - 1))
    low, high = low.to(frames.device), high.to(frames.device)
    return torch.lerp(frames.index_select(axis, low), frames.index_select(axis, high), share)
