"""What is inside a box: pooled features, 7x7 a region."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import roi_align

from stvr.kernels import crop_max

REGION_SIZE = 7
SPARE_CELLS = 1e-3  # by which floats may carry a sample past a cell


def crop_regions(maps: Tensor, boxes: Tensor) -> Tensor:
    """maps (N, H, W, C), boxes (N, K, 4) xyxy in [0, 1] -> regions (N, K, 7, 7, C).

    TensorFlow's `crop_and_resize` to 14x14, then a 2x2 maximum: see `stvr.kernels.crop_max`. torchvision's `roi_align`
    on a box widened by half a bin gives the same numbers inside (a test holds the two together). In float32
    TensorFlow's own sum carries the last sample out of the map for 2 in 100 boxes that touch the lower or right border,
    and reads 0 there; ours stays inside.
    """
    return crop_max(maps, boxes.flatten(0, 1)).unflatten(0, boxes.shape[:2])


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
