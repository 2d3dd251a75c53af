"""Boxes around true ones, for a classifier that is to learn what boxes show before any are found (STEP's pre-training).

Written from a description of the released program; how often a draw is tried again is ours.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import box_iou

from stvr.heads.tube_samples import NOBODY

SIZES, SHIFT = (0.8, 1.2), 0.2  # shares of the true box's width and height
NEAR, FAR = 0.75, 0.2  # IoU: a box stands for a person from NEAR on, and shows another one below FAR only
NEGATIVES_EACH = 3  # of a person
TRIES = 50


def draw_boxes(truth: Tensor, random: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """True boxes (G, 4) xyxy in [0, 1] -> boxes (R, 4), and whom each shows, (R,) of G, NOBODY for none.

    Each person once, moved a little (the true box itself where others stand too close to it), then boxes of their
    sizes at any place where nobody is, as far as there is room.
    """
    boxes, owner = [], []
    for person in range(len(truth)):
        boxes.append(draw_near(truth, person, random))
        owner.append(person)
    for person in range(len(truth)):
        free = draw_far(truth, person, random)
        boxes += list(free)
        owner += [NOBODY] * len(free)
    return torch.stack(boxes), torch.tensor(owner)


def draw_near(truth: Tensor, person: int, random: torch.Generator | None) -> Tensor:
    """(4,)"""
    low, size = truth[person, :2], truth[person, 2:] - truth[person, :2]
    numbers = torch.rand(TRIES, 2, 2, generator=random)
    sizes = size * (SIZES[0] + (SIZES[1] - SIZES[0]) * numbers[:, 0])
    centres = low + size / 2 + size * SHIFT * (2 * numbers[:, 1] - 1)
    drawn = torch.cat([centres - sizes / 2, centres + sizes / 2], 1).clamp(0, 1)
    iou = box_iou(drawn, truth)
    others = torch.cat([iou[:, :person], iou[:, person + 1 :]], 1)
    good = (iou[:, person] > NEAR) & (others < FAR).all(1)
    return drawn[int(good.int().argmax())] if good.any() else truth[person]


def draw_far(truth: Tensor, person: int, random: torch.Generator | None) -> Tensor:
    """(N, 4), N at most NEGATIVES_EACH."""
    size = (truth[person, 2:] - truth[person, :2]).clamp(max=1)
    low = torch.rand(TRIES, 2, generator=random) * (1 - size)
    drawn = torch.cat([low, low + size], 1)
    free = (box_iou(drawn, truth) < FAR).all(1)
    return drawn[free][:NEGATIVES_EACH]
