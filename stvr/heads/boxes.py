"""Box arithmetic of the detector: coding, assigning, sampling. Boxes are xyxy in pixels of the network's image."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import box_iou

CODE_SCALE = (10.0, 10.0, 5.0, 5.0)  # of (tx, ty, tw, th); TensorFlow Object Detection API, faster_rcnn_box_coder
MIN_SIZE = 1e-8  # the same file: added to every side before the logarithm
POSITIVE, NEGATIVE, IGNORED = 1, 0, -1


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """What must be predicted at `anchors` (..., 4) to get `boxes` (..., 4)."""
    centre, size = centre_and_size(boxes)
    anchor_centre, anchor_size = centre_and_size(anchors)
    size, anchor_size = size + MIN_SIZE, anchor_size + MIN_SIZE
    code = torch.cat([(centre - anchor_centre) / anchor_size, (size / anchor_size).log()], -1)
    return code * code.new_tensor(CODE_SCALE)


def decode(codes: Tensor, anchors: Tensor) -> Tensor:
    """The inverse of `encode`; sizes are not clamped, as in the program."""
    shift, log_size = (codes / codes.new_tensor(CODE_SCALE)).split(2, -1)
    anchor_centre, anchor_size = centre_and_size(anchors)
    centre, half = shift * anchor_size + anchor_centre, log_size.exp() * anchor_size / 2
    return torch.cat([centre - half, centre + half], -1)


def centre_and_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    low, high = boxes.split(2, -1)
    size = high - low
    return low + size / 2, size


def has_area(boxes: Tensor) -> Tensor:
    """(..., 4) -> (...) bool."""
    return ((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])) > 0


def assign(
    candidates: Tensor, truth: Tensor, positive_from: float, negative_below: float, force: bool
) -> tuple[Tensor, Tensor]:
    """Which truth each candidate stands for: (N, 4), (G, 4) -> state (N,) POSITIVE, NEGATIVE or IGNORED, index (N,).

    The best IoU decides, the first of equal ones. force: every truth takes its best candidate even below the
    threshold; where two take the same one, the lower index has it. Without truth all candidates are negative.
    """
    num_candidates = len(candidates)
    if len(truth) == 0:
        empty = torch.zeros(num_candidates, dtype=torch.long, device=candidates.device)
        return empty + NEGATIVE, empty
    iou = box_iou(candidates, truth).nan_to_num(0.0)  # (N, G); a padded box has no area
    best, index = iou.max(1)
    state = torch.full((num_candidates,), IGNORED, device=candidates.device)
    state[best < negative_below] = NEGATIVE
    state[best >= positive_from] = POSITIVE
    if force:
        taken = iou.argmax(0)  # (G,)
        for which in reversed(range(len(truth))):
            state[taken[which]], index[taken[which]] = POSITIVE, which
    return state, index


def sample(
    state: Tensor, size: int, positive_share: float, method: str = "random", random: torch.Generator | None = None
) -> Tensor:
    """A balanced sample (N,) bool: at most int(share * size) positives, the rest negatives, never topped up.

    method: "random", or "first", which keeps the first candidates of each kind. random: None draws as torch does.
    """
    positives = keep(state == POSITIVE, int(positive_share * size), method, random)
    negatives = keep(state == NEGATIVE, size - int(positives.sum()), method, random)
    return positives | negatives


def keep(candidates: Tensor, count: int, method: str, random: torch.Generator | None = None) -> Tensor:
    """At most `count` of the True entries of `candidates` (N,) bool."""
    index = candidates.nonzero()[:, 0]
    if method == "random" and len(index) > count:
        index = index[torch.randperm(len(index), generator=random).to(index.device)]
    kept = torch.zeros_like(candidates)
    kept[index[:count]] = True
    return kept


def generators(seeds: Tensor | None, num_clips: int, purpose: int) -> list[torch.Generator | None]:
    """What each of a batch's clips draws from, whoever else is in the batch; None draws as torch does.

    seeds (B,) int64, one an item; num_clips: of all items together. purpose tells apart a clip's several draws.
    """
    if seeds is None:
        return [None] * num_clips
    clips = range(num_clips // len(seeds))
    mixed = [(seed * 1_000_003 + clip) * 2 + purpose for seed in seeds.tolist() for clip in clips]
    return [torch.Generator().manual_seed(each % 2**63) for each in mixed]
