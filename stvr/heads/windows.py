"""Boxes laid over a grid of cells: how much of each cell a box holds, what that sums to, which boxes there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

STEP = 1 / 20  # of the picture: one cell of I3D's Mixed_4c at 320 pixels
SIDES = range(2, 21)  # in steps
MAX_ASPECT = 4.0  # of the longer side to the shorter
STEP_GRID = ((4 / 3, 5 / 6), (2.0, 3 / 4))  # (scale, overlap): 9 + 25 boxes; Yang et al., CVPR 2019, anchor_mode 1
FINER_GRID = ((3.0, 1 / 2), (4.0, 1 / 4))  # its modes 2 and 3: 25 + 25 more
SHAPES = (0.5, 2.0)  # width / height of the boxes beside the square ones of that grid


def shares(boxes: Tensor, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """How much of each row and of each column boxes (..., 4), xyxy in [0, 1], hold: (..., rows), (..., columns).

    In cells; the product of the two is what a box holds of each cell.
    """
    x1, y1, x2, y2 = boxes.unbind(-1)
    return _lengths(y1, y2, rows), _lengths(x1, x2, columns)


def _lengths(low: Tensor, high: Tensor, cells: int) -> Tensor:
    begin = torch.arange(cells, device=low.device, dtype=low.dtype)
    low, high = low[..., None] * cells, high[..., None] * cells
    return (torch.minimum(high, begin + 1) - torch.maximum(low, begin)).clamp_min(0)


def means_in(maps: Tensor, boxes: Tensor) -> Tensor:
    """maps (T, H, W, C), boxes (T, K, 4) -> (T, K, C): the mean over each box, parts of cells by their area.

    A box without area gives zeros.
    """
    rows, columns = shares(boxes, *maps.shape[1:3])
    area = (rows.sum(-1) * columns.sum(-1)).clamp_min(1e-9)
    return torch.einsum("tkh,tkw,thwc->tkc", rows, columns, maps) / area[..., None]


def mean_outside(maps: Tensor, boxes: Tensor) -> Tensor:
    """maps (T, H, W, C), boxes (T, 4) -> (T, C): the mean over the cells that the box does not touch.

    Zeros where it touches all.
    """
    rows, columns = shares(boxes, *maps.shape[1:3])
    outside = (rows[:, :, None] * columns[:, None] == 0).to(maps)  # (T, H, W)
    return torch.einsum("thw,thwc->tc", outside, maps) / outside.sum((1, 2)).clamp_min(1)[:, None]


def sums_in(maps: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """maps (T, H, W), boxes (N, 4) -> the sum over each box (T, N), and its area in cells (N,)."""
    rows, columns = shares(boxes.to(maps), *maps.shape[1:])
    sums = ((rows @ maps) * columns).sum(-1)  # (N, H) @ (T, H, W) -> (T, N, W)
    return sums, rows.sum(-1) * columns.sum(-1)


def areas_of(boxes: Tensor) -> Tensor:
    """(..., 4) -> (...); 0 for a box that is turned inside out."""
    return (boxes[..., 2:] - boxes[..., :2]).clamp_min(0).prod(-1)


def every_window() -> Tensor:
    """(N, 4): every box of SIDES whose corners stand on a grid of STEP, none longer than MAX_ASPECT."""
    count = round(1 / STEP)
    boxes = [
        (x, y, x + width, y + height)
        for height in SIDES for width in SIDES if max(height / width, width / height) <= MAX_ASPECT
        for y in range(count - height + 1) for x in range(count - width + 1)
    ]  # fmt: skip
    return torch.tensor(boxes, dtype=torch.float32) / count


def step_grid(scales: tuple[tuple[float, float], ...] = STEP_GRID, shape: float = 1.0) -> Tensor:
    """(N, 4): the first boxes of STEP: of every scale the side is 1 / scale, and neighbours overlap so much.

    shape: width / height of boxes of the same area.
    """
    boxes = []
    for scale, overlap in scales:
        width, height = min(shape**0.5 / scale, 1.0), min(shape**-0.5 / scale, 1.0)
        for y in _starts(height, overlap):
            boxes += [(x, y, x + width, y + height) for x in _starts(width, overlap)]
    return torch.tensor(boxes, dtype=torch.float32)


def _starts(side: float, overlap: float) -> list[float]:
    """Where boxes of that side begin, from 0 on, as long as they end in [0, 1]."""
    stride = side * (1 - overlap)
    return [number * stride for number in range(int((1 - side) / stride + 1e-6) + 1)]


def grid() -> Tensor:
    """(N, 4): the 34 boxes of STEP first, then smaller ones, then tall and wide ones."""
    scales = (*STEP_GRID, *FINER_GRID)
    return torch.cat([step_grid(), step_grid(FINER_GRID), *(step_grid(scales, shape) for shape in SHAPES)])


def windows_and_grid() -> Tensor:
    return torch.cat([every_window(), grid()])


# which boxes (N, 4) of a picture may be an answer
PROPOSALS: Mapping[str, Callable[[], Tensor]] = {"map": every_window, "grid": grid, "map+grid": windows_and_grid}
