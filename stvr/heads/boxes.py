"""Box arithmetic of the detector: coding, assigning. Boxes are xyxy in pixels of the network's image."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import box_iou

CENTRE_SCALE, SIZE_SCALE = 10.0, 5.0  # of (tx, ty) and (tw, th); TensorFlow Object Detection API, faster_rcnn_box_coder
MIN_SIZE = 1e-8  # the same file: added to every side before the logarithm
POSITIVE, NEGATIVE, IGNORED = 1, 0, -1


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """What must be predicted at `anchors` (..., 4) to get `boxes` (..., 4)."""
    centre, size = centre_and_size(boxes)
    anchor_centre, anchor_size = centre_and_size(anchors)
    size, anchor_size = size + MIN_SIZE, anchor_size + MIN_SIZE
    shift, log_size = (centre - anchor_centre) / anchor_size, (size / anchor_size).log()
    return torch.cat([shift * CENTRE_SCALE, log_size * SIZE_SCALE], -1)


def decode(codes: Tensor, anchors: Tensor) -> Tensor:
    """The inverse of `encode`; sizes are not clamped, as in the program."""
    shift, log_size = codes.split(2, -1)
    anchor_centre, anchor_size = centre_and_size(anchors)
    centre = shift / CENTRE_SCALE * anchor_size + anchor_centre
    half = (log_size / SIZE_SCALE).exp() * anchor_size / 2
    return torch.cat([centre - half, centre + half], -1)


def centre_and_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    low, high = boxes.split(2, -1)
    size = high - low
    return low + size / 2, size


def has_area(boxes: Tensor) -> Tensor:
    """(..., 4) -> (...) bool."""
    return ((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])) > 0


def in_pixels(size: tuple[int, int], like: Tensor) -> Tensor:
    """What turns boxes in [0, 1] into pixels of an image (height, width): (4,), of the kind of `like`.

    It is made where `like` is: a GPU would wait for numbers that come from the host.
    """
    height, width = size
    scale = like.new_full((4,), width)
    scale[1::2].fill_(height)
    return scale


def at(values: Tensor, index: Tensor) -> Tensor:
    """values (..., A, D), index (..., K) -> (..., K, D)."""
    return values.gather(-2, index[..., None].expand(*index.shape, values.shape[-1]))


def in_front(wanted: Tensor) -> Tensor:
    """(..., N) bool -> the order (..., N) that puts the True ones first, each kind as it stood."""
    return wanted.int().argsort(dim=-1, descending=True, stable=True)


def assign(
    candidates: Tensor, truth: Tensor, real: Tensor, positive_from: float, negative_below: float, force: bool
) -> tuple[Tensor, Tensor]:
    """Which truth each candidate stands for: state (..., A) POSITIVE, NEGATIVE or IGNORED, index (..., A).

    candidates (..., A, 4); truth (..., G, 4) with at least one place, real (..., G) bool: which of them are no padding.
    The best IoU decides, the first of equal ones. force: every truth takes its best candidate even below the
    threshold; where two take the same one, the lower index has it. Without truth all candidates are negative.
    """
    iou = box_iou(candidates, truth).nan_to_num(0.0)  # (..., A, G); a padded box has no area
    iou = iou.masked_fill(~real[..., None, :], -1.0)
    best, index = iou.max(-1)
    state = torch.where(best >= positive_from, POSITIVE, torch.where(best < negative_below, NEGATIVE, IGNORED))
    if not force:
        return state, index
    nobody = truth.shape[-2]
    who = torch.arange(nobody, device=truth.device).expand_as(real).masked_fill(~real, nobody)
    taker = torch.full_like(index, nobody).scatter_reduce(-1, iou.argmax(-2), who, "amin")  # (..., A)
    taken = taker < nobody
    return torch.where(taken, POSITIVE, state), torch.where(taken, taker, index)
