"""Where in a clip it looks like the query: maps of cosines cell by cell, and the windows that hold most of them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from scipy.ndimage import label
from torch import Tensor
from torch.nn import functional as F

from stvr.heads.windows import Windows, areas_of, means_in

LEAST_SPREAD = 1e-6
BEST_WINDOWS = 400  # of a clip, among which the few that do not cover one another are sought
FALLEN_OFF = 0.7  # of a box's mean: where the map is lower, the thing has ended


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


def best_boxes(
    maps: Tensor, windows: Windows | None, given: Tensor | None, count: int, max_cover: float
) -> list[tuple[Tensor, Tensor]]:
    """maps (T, H, W) -> the best boxes of each clip, (K, 4), K <= count, and what they are worth, (K,).

    They are windows, pulled to where the map falls off, or given (T, G, 4), which stay as they are. A box is worth the
    sum of what it holds divided by the square root of its area: noise grows no faster, so that neither a lucky cell nor
    the whole picture wins. Worth nothing or less is left out, and so is what shares more than `max_cover` of the
    smaller of the two with a better one.
    """
    candidates = []
    if windows is not None:
        boxes = windows.boxes.to(maps)
        worth, index = windows.worth(maps).topk(min(BEST_WINDOWS, len(boxes)), 1)  # (T, BEST_WINDOWS)
        candidates.append((boxes[index], worth))
    if given is not None:
        candidates.append((given.to(maps), worth_of(maps, given.to(maps))))
    every, worths = (torch.cat(parts, 1) for parts in zip(*candidates, strict=True))
    first_given = every.shape[1] if given is None else every.shape[1] - given.shape[1]
    found = []
    for one, boxes, values in zip(maps, every, worths, strict=True):
        kept = apart(boxes, values, count, max_cover)
        chosen, window = boxes[kept].clone(), kept < first_given
        chosen[window] = pulled(one, chosen[window])
        found.append((chosen, values[kept]))
    return found


def worth_of(maps: Tensor, boxes: Tensor) -> Tensor:
    """maps (T, H, W), boxes (T, G, 4) -> (T, G): what boxes hold by the root of their area in cells, 0 for none."""
    areas = areas_of(boxes) * maps[0].numel()
    return means_in(maps[..., None], boxes)[..., 0] * areas.sqrt()


def apart(boxes: Tensor, worth: Tensor, count: int, max_cover: float) -> Tensor:
    """The indices of at most `count` boxes (N, 4) of positive worth (N,), best first, that do not cover one another."""
    left, kept = worth.clone(), list[Tensor]()
    while len(kept) < count and len(left) and left.max() > 0:
        kept.append(left.argmax())
        left[cover(boxes, boxes[kept[-1]]) > max_cover] = 0
        left[kept[-1]] = 0
    return torch.stack(kept) if kept else torch.empty(0, dtype=torch.long, device=worth.device)


def cover(boxes: Tensor, box: Tensor) -> Tensor:
    """The area that boxes (N, 4) share with a box (4,), by that of the smaller of the two: (N,)."""
    shared = torch.cat([torch.maximum(boxes[:, :2], box[:2]), torch.minimum(boxes[:, 2:], box[2:])], 1)
    return areas_of(shared) / torch.minimum(areas_of(boxes), areas_of(box)).clamp_min(1e-9)


def pulled(one: Tensor, boxes: Tensor) -> Tensor:
    """Boxes (K, 4) on one clip's map (H, W), pulled half way to where the map has fallen off.

    That is the extent of the cells around the box's peak that hang together and are above FALLEN_OFF x the box's mean.
    """
    rows, columns = one.shape
    means = means_in(one[None, :, :, None], boxes[None].to(one))[0, :, 0]
    extents = []
    for box, mean in zip(boxes, means, strict=True):
        within = (box.cpu() * torch.tensor([columns, rows, columns, rows])).round().int().tolist()
        extents.append(extent(one.cpu(), within, FALLEN_OFF * float(mean)))
    return (boxes + torch.tensor(extents, device=boxes.device, dtype=boxes.dtype).reshape(-1, 4)) / 2


def extent(one: Tensor, within: tuple[int, int, int, int], least: float) -> tuple[float, float, float, float]:
    """Of the cells that hang together with the highest of map (H, W) in a box of cells: xyxy in [0, 1]."""
    x1, y1, x2, y2 = within
    x2, y2 = max(x2, x1 + 1), max(y2, y1 + 1)
    peak_row, peak_column = divmod(int(one[y1:y2, x1:x2].argmax()), x2 - x1)
    parts, _ = label((one >= least).numpy())
    ys, xs = (parts == parts[y1 + peak_row, x1 + peak_column]).nonzero()
    rows, columns = one.shape
    return xs.min() / columns, ys.min() / rows, (xs.max() + 1) / columns, (ys.max() + 1) / rows
