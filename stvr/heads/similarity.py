"""Where in a clip it looks like the query: maps of cosines cell by cell, and the windows that hold most of them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import nms

from stvr.heads.windows import sums_in

LEAST_SPREAD = 1e-6
BEST_WINDOWS = 400  # of all that go into non-maximum suppression


def similarity(cells: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Tensor:
    """Unit vectors of cells (T, H, W, C) by endpoint, a vector (C,) for each -> one map (T, H, W) on the finest grid.

    Each endpoint's cosines are brought to mean 0 and deviation 1 over the picture, and the maps averaged: only where in
    its clip a cell stands out counts, not how much its clip is like the query.
    """
    rows, columns = max((maps.shape[1:3] for maps in cells.values()), key=lambda grid: grid[0] * grid[1])
    maps = [stand_out(on_grid(cells[name].float() @ F.normalize(vector, dim=0), rows, columns))
            for name, vector in wanted.items()]
    return torch.stack(maps).mean(0)


def on_grid(maps: Tensor, rows: int, columns: int) -> Tensor:
    """(T, H, W) -> (T, rows, columns), linear between the middles of cells."""
    if maps.shape[1:] == (rows, columns):
        return maps
    return F.interpolate(maps[:, None], (rows, columns), mode="bilinear", align_corners=False)[:, 0]


def stand_out(maps: Tensor) -> Tensor:
    """(T, H, W) with mean 0 and deviation 1 in every clip; zeros where all is alike."""
    deviation, mean = torch.std_mean(maps, (1, 2), keepdim=True)
    return (maps - mean) / deviation.clamp_min(LEAST_SPREAD)


def running_mean(values: Tensor, count: int) -> Tensor:
    """(T, ...) -> the same: each the mean of itself and the `count` - 1 before it, of fewer at the beginning."""
    means = [values[max(0, last + 1 - count) : last + 1].mean(0) for last in range(len(values))]
    return torch.stack(means) if means else values


def best_windows(maps: Tensor, windows: Tensor, count: int, nms_iou: float) -> list[tuple[Tensor, Tensor]]:
    """maps (T, H, W), windows (N, 4) -> the best of each clip, boxes (K, 4), K <= count, and what they are worth (K,).

    A window is worth its sum divided by the square root of its area: noise grows no faster, so that neither a lucky
    cell nor the whole picture wins. Worth nothing or less is left out.
    """
    sums, areas = sums_in(maps, windows)
    worth, index = (sums / areas.sqrt()).topk(min(BEST_WINDOWS, len(windows)), 1)  # (T, BEST_WINDOWS)
    found = []
    for values, best in zip(worth, index, strict=True):
        boxes, values = windows[best[values > 0]], values[values > 0]
        kept = nms(boxes, values, nms_iou)[:count]
        found.append((boxes[kept], values[kept]))
    return found
