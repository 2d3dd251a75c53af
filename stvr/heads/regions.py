"""What is inside a box: pooled features, 7x7 a region."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import roi_align

CROP_SIZE = 14
POOL = 2
REGION_SIZE = CROP_SIZE // POOL
ROUNDING = 1e-6  # of an edge at 1 that floats carry past it: still in the picture
SPARE_CELLS = 1e-3  # by which floats may carry a sample past a cell
FAR = 3.0  # where grid_sample finds nothing


def crop_regions(maps: Tensor, boxes: Tensor) -> Tensor:
    """maps (N, H, W, C), boxes (N, K, 4) xyxy in [0, 1] -> regions (N, K, 7, 7, C).

    TensorFlow's `crop_and_resize` to 14x14, then a 2x2 maximum. Its samples stand on the corners of the box, as
    `grid_sample` reads them, and those outside the map are 0. torchvision's `roi_align` on a box widened by half a bin
    gives the same numbers inside (a test holds the two together), but its backward pass on a CPU is ten times slower.
    In float32 TensorFlow's own sum carries the last sample out of the map for 2 in 100 boxes that touch the lower or
    right border, and reads 0 there; ours stays inside.
    """
    num_boxes, channels = boxes.shape[1], maps.shape[-1]
    low, high = (2 * boxes - 1).split(2, -1)  # (N, K, 2) (x, y): -1 and 1 are the outermost cells
    steps = torch.linspace(0, 1, CROP_SIZE, device=boxes.device, dtype=boxes.dtype)[:, None]
    along = low[..., None, :] + steps * (high - low)[..., None, :]  # (N, K, 14, 2)
    along = torch.where(along.abs() <= 1 + ROUNDING, along.clamp(-1, 1), FAR)
    columns = along[..., 0][..., None, :].expand(-1, -1, CROP_SIZE, -1)  # (N, K, 14, 14)
    rows = along[..., 1][..., :, None].expand(-1, -1, -1, CROP_SIZE)
    grid = torch.stack([columns, rows], -1).flatten(1, 2)  # (N, K * 14, 14, 2)
    crops = F.grid_sample(maps.permute(0, 3, 1, 2), grid.to(maps.dtype), align_corners=True)  # (N, C, K * 14, 14)
    pooled = F.max_pool2d(crops, POOL).unflatten(2, (num_boxes, REGION_SIZE))  # (N, C, K, 7, 7)
    return pooled.permute(0, 2, 3, 4, 1).reshape(len(maps), num_boxes, REGION_SIZE, REGION_SIZE, channels)


def align_regions(maps: Tensor, boxes: Tensor) -> Tensor:
    """maps (N, H, W, C), boxes (N, K, 4) xyxy in [0, 1] -> (N, K, C, 7, 7) by RoIAlign; zeros for one without area.

    A box is as large a share of the map as of the picture, so there is no stride to get wrong.
    """
    height, width = maps.shape[1:3]
    cells = boxes.float() * boxes.new_tensor([width, height, width, height]).float()
    crops = roi_align(maps.float().permute(0, 3, 1, 2), list(cells), REGION_SIZE, aligned=True)  # (N * K, C, 7, 7)
    areas = (cells[..., 2:] - cells[..., :2]).clamp_min(0).prod(-1)
    return crops.unflatten(0, boxes.shape[:2]) * (areas > 0)[..., None, None, None]


def cells_around(boxes: Tensor, height: int, width: int) -> Tensor:
    """The cells that `crop_regions` and `align_regions` read in boxes (N, 4) of maps height x width, and no fewer.

    (N, 4) int64: first row, first column, and the row and the column behind the last ones; at least one cell.
    """
    sides = boxes.new_tensor([width, height]).double()
    corners = boxes.double().unflatten(-1, (2, 2))  # (N, 2, 2): which corner, (x, y)
    seen = torch.stack([corners * (sides - 1), corners * sides - 0.5])  # corner on corner, and as RoIAlign counts
    first = (seen.amin((0, 2)) - SPARE_CELLS).floor().clamp(torch.zeros_like(sides), sides - 1)
    behind = (seen.amax((0, 2)) + SPARE_CELLS).floor().add(2).clamp(first + 1, sides)
    return torch.cat([first.flip(-1), behind.flip(-1)], -1).long()
