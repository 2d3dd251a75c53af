"""Boxes laid over a grid of cells: how much of each cell a box holds, what that sums to, which boxes there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

STEP = 20  # places along a side of the picture where a window may begin or end: I3D's Mixed_4c has 20 cells
SHORTEST, MAX_ASPECT = 2, 4.0  # of a side, in such places; of the longer side to the shorter
FIRST_OF_STEP = ((4 / 3, 5 / 6), (2.0, 3 / 4))  # (scale, overlap): 9 + 25 boxes; Yang et al., CVPR 2019, anchor_mode 1
SMALLER = ((3.0, 1 / 2), (4.0, 1 / 4))  # its modes 2 and 3: 25 + 25 more
SHAPES = (0.5, 2.0)  # width / height of the boxes beside the square ones


class Lattice(NamedTuple):
    """Boxes that are any of some stretches of rows with any of some stretches of columns: (R, 2), (C, 2) in [0, 1]."""

    rows: Tensor
    columns: Tensor

    def boxes(self) -> Tensor:
        """(R * C, 4) xyxy, rows outside."""
        rows = self.rows[:, None].expand(-1, len(self.columns), -1)
        columns = self.columns[None].expand(len(self.rows), -1, -1)
        return torch.stack([columns[..., 0], rows[..., 0], columns[..., 1], rows[..., 1]], -1).flatten(0, 1)

    def sums(self, maps: Tensor) -> Tensor:
        """maps (T, H, W) -> what each box holds of it, (T, R * C)."""
        rows, columns = lengths(self.rows.to(maps), maps.shape[1]), lengths(self.columns.to(maps), maps.shape[2])
        return (rows @ maps @ columns.mT).flatten(1)


def lengths(stretches: Tensor, cells: int) -> Tensor:
    """How much of each cell of a row stretches (..., 2) in [0, 1] hold: (..., cells), in cells."""
    begin = torch.arange(cells, device=stretches.device, dtype=stretches.dtype)
    low, high = (stretches * cells).split(1, -1)
    return (torch.minimum(high, begin + 1) - torch.maximum(low, begin)).clamp_min(0)


def shares(boxes: Tensor, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """How much of each row and of each column boxes (..., 4), xyxy in [0, 1], hold: (..., rows), (..., columns).

    In cells; the product of the two is what a box holds of each cell.
    """
    return lengths(boxes[..., 1::2], rows), lengths(boxes[..., 0::2], columns)


def means_in(maps: Tensor, boxes: Tensor) -> Tensor:
    """maps (T, H, W, C), boxes (T, K, 4) -> (T, K, C): the mean over each box, parts of cells by their area.

    A box without area gives zeros.
    """
    rows, columns = shares(boxes.to(maps), *maps.shape[1:3])
    area = (rows.sum(-1) * columns.sum(-1)).clamp_min(1e-9)
    return torch.einsum("tkh,tkw,thwc->tkc", rows, columns, maps) / area[..., None]


def mean_outside(maps: Tensor, boxes: Tensor) -> Tensor:
    """maps (T, H, W, C), boxes (T, 4) -> (T, C): the mean over the cells that the box does not touch.

    Zeros where it touches all.
    """
    rows, columns = shares(boxes.to(maps), *maps.shape[1:3])
    outside = (rows[:, :, None] * columns[:, None] == 0).to(maps)  # (T, H, W)
    return torch.einsum("thw,thwc->tc", outside, maps) / outside.sum((1, 2)).clamp_min(1)[:, None]


def areas_of(boxes: Tensor) -> Tensor:
    """(..., 4) -> (...); 0 for a box that is turned inside out."""
    return (boxes[..., 2:] - boxes[..., :2]).clamp_min(0).prod(-1)


def every_window() -> list[Lattice]:
    """Every box whose corners stand on a grid of STEP x STEP, but those that are too thin."""
    places = [(low / STEP, high / STEP) for low in range(STEP) for high in range(low + SHORTEST, STEP + 1)]
    stretches = torch.tensor(places, dtype=torch.float32)
    return [Lattice(stretches, stretches)]


def step_grid(scales: Sequence[tuple[float, float]] = FIRST_OF_STEP, shape: float = 1.0) -> list[Lattice]:
    """The first boxes of STEP: of every scale the side is 1 / scale, and neighbours overlap so much.

    shape: width / height of boxes of the same area.
    """
    return [Lattice(_row_of(shape**-0.5 / scale, overlap), _row_of(shape**0.5 / scale, overlap))
            for scale, overlap in scales]


def _row_of(side: float, overlap: float) -> Tensor:
    """Stretches (N, 2) of that length, from 0 on, as long as they end in [0, 1]."""
    side = min(side, 1.0)
    stride = side * (1 - overlap)
    begin = torch.arange(int((1 - side) / stride + 1e-6) + 1, dtype=torch.float32) * stride
    return torch.stack([begin, begin + side], 1)


def grid() -> list[Lattice]:
    """The 34 boxes of STEP first, then smaller ones, then tall and wide ones."""
    scales = (*FIRST_OF_STEP, *SMALLER)
    return [*step_grid(scales), *(lattice for shape in SHAPES for lattice in step_grid(scales, shape))]


# which boxes of a picture may be an answer
PROPOSALS: Mapping[str, Callable[[], list[Lattice]]] = {"map": every_window, "grid": grid}


class Windows:
    """The boxes (N, 4) of names on the menu PROPOSALS, and their worth on maps."""

    def __init__(self, names: Sequence[str]) -> None:
        self.lattices = [lattice for name in names for lattice in PROPOSALS[name]()]
        boxes = torch.cat([lattice.boxes() for lattice in self.lattices])
        sides = boxes[:, 2:] - boxes[:, :2]
        self.kept = (sides.amax(1) <= MAX_ASPECT * sides.amin(1) + 1e-6).nonzero()[:, 0]
        self.boxes = boxes[self.kept]

    def worth(self, maps: Tensor) -> Tensor:
        """maps (T, H, W) -> (T, N): the sum over each box by the square root of its area in cells."""
        sums = torch.cat([lattice.sums(maps) for lattice in self.lattices], 1)[:, self.kept.to(maps.device)]
        return sums / (areas_of(self.boxes).to(maps) * maps[0].numel()).sqrt()
