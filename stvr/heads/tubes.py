"""Arithmetic of progressive tubelets: boxes of several clips together, (..., F, 4) xyxy in pixels of the picture."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from stvr.heads.windows import FIRST_OF_STEP, SMALLER, step_grid

Extension = Literal["predict", "extrapolate", "mean"]

SCALES = (*FIRST_OF_STEP, *SMALLER, (5.0, 0.0))  # grid 1 has the first two, 2 to 4 one more each: 34, 59, 84, 109 boxes
LEAST_SIDE = 2.0  # pixels: a box that is no longer on either side says nothing, and becomes the whole picture
PIXEL = 1.0  # a box of STEP ends with its last pixel, which counts as inside


def first_boxes(grid: int) -> Tensor:
    """The boxes (K, 4) in [0, 1] that the progression begins with. grid: 1 to 4."""
    return torch.cat([lattice.boxes() for lattice in step_grid(SCALES[: grid + 1])])


def encode_tubes(boxes: Tensor, tubes: Tensor) -> Tensor:
    """What must be predicted at `tubes` (..., 4) to get `boxes` (..., 4); not divided by any deviation."""
    centre, size = centre_and_size(boxes)
    own_centre, own_size = centre_and_size(tubes)
    return torch.cat([(centre - own_centre) / own_size, (size / own_size).log()], -1)


def decode_tubes(codes: Tensor, tubes: Tensor) -> Tensor:
    """The inverse of `encode_tubes`."""
    shift, log_size = codes.split(2, -1)
    own_centre, own_size = centre_and_size(tubes)
    low = shift * own_size + own_centre - (size := log_size.exp() * own_size) / 2
    return torch.cat([low, low + size - PIXEL], -1)


def centre_and_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Of boxes (..., 4), each (..., 2), the last pixel counted."""
    low, high = boxes.split(2, -1)
    size = high - low + PIXEL
    return low + size / 2, size


def in_picture(tubes: Tensor, side: float) -> Tensor:
    """Boxes cut to a square picture; what is left of one with no more than LEAST_SIDE becomes the whole picture."""
    cut = tubes.clamp(0, side)
    thin = (cut[..., 2:] - cut[..., :2] <= LEAST_SIDE).any(-1, keepdim=True)
    return torch.where(thin, cut.new_tensor([0.0, 0.0, side, side]), cut)


def central(clips: Tensor, count: int, dim: int = 1) -> Tensor:
    """The middle `count` clips of an odd number of them along `dim`."""
    return clips.narrow(dim, (clips.shape[dim] - count) // 2, count)


def extrapolated(tubes: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """The `length` boxes before tubes (N, F, 4) and those after, each (N, length, 4), not yet cut to the picture.

    Clip by clip outward, on the line through the nearest `length` clips' first and last.
    """
    after = tubes
    for _ in range(length):
        after = torch.cat([after, onward(after, length)], 1)
    before = tubes.flip(1)
    for _ in range(length):
        before = torch.cat([before, onward(before, length)], 1)
    return before[:, tubes.shape[1] :].flip(1), after[:, tubes.shape[1] :]


def onward(tubes: Tensor, length: int) -> Tensor:
    """The box (N, 1, 4) that follows tubes (N, F, 4)."""
    last = tubes[:, -1:]
    return last + (last - tubes[:, -length][:, None]) / (length - 1)


def repeated_mean(tubes: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """The mean box of tubes (N, F, 4), `length` times: as those before and as those after."""
    mean = tubes.mean(1, keepdim=True).expand(-1, length, -1)
    return mean, mean
