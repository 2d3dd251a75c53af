"""What is inside a box: pooled features, 7x7 a region."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import roi_align

CROP_SIZE = 14
POOL = 2
REGION_SIZE = CROP_SIZE // POOL


def crop_regions(maps: Tensor, boxes: Tensor) -> Tensor:
    """maps (N, H, W, C), boxes (N, K, 4) xyxy in [0, 1] -> regions (N, K, 7, 7, C).

    TensorFlow's `crop_and_resize` to 14x14, then a 2x2 maximum. Its samples stand on the corners of the box, so
    `roi_align` with one sample a bin reads the same places when the box is widened by half a bin.
    """
    num_clips, height, width, channels = maps.shape
    num_boxes = boxes.shape[1]
    extent = boxes.new_tensor([width - 1, height - 1, width - 1, height - 1])
    low, high = (boxes.clamp(0, 1) * extent).flatten(0, 1).split(2, -1)  # (N * K, 2) in cells
    half_bin = (high - low) / (CROP_SIZE - 1) / 2
    clip = torch.arange(num_clips, device=boxes.device).repeat_interleave(num_boxes)[:, None]
    rois = torch.cat([clip.to(low), low - half_bin + 0.5, high + half_bin + 0.5], 1)  # (N * K, 5)
    crops = roi_align(maps.permute(0, 3, 1, 2).to(rois), rois, CROP_SIZE, sampling_ratio=1, aligned=True)
    pooled = F.max_pool2d(crops, POOL)  # (N * K, C, 7, 7)
    return pooled.permute(0, 2, 3, 1).reshape(num_clips, num_boxes, REGION_SIZE, REGION_SIZE, channels)
