"""Suppression of many clips at once, held to torchvision's one by one: the same boxes in the same order."""

from __future__ import annotations

import pytest
import torch
from torchvision.ops import nms

from stvr.heads.suppression import suppress


def assert_as_torchvision(boxes, scores, max_iou, most, real=None):
    index, found = suppress(boxes, scores, max_iou, most, real)
    for clip in range(len(boxes)):
        own = torch.arange(boxes.shape[1]) if real is None else real[clip].nonzero()[:, 0]
        wanted = own[nms(boxes[clip, own], scores[clip, own], max_iou)[:most]]
        assert found[clip].tolist() == [True] * len(wanted) + [False] * (found.shape[1] - len(wanted))
        assert index[clip, found[clip]].tolist() == wanted.tolist()


@pytest.mark.parametrize("max_iou", [0.4, 0.6, 0.7])
@pytest.mark.parametrize("spread", [20, 300])
def test_of_many_boxes_the_best_are_kept_as_torchvision_keeps_them(max_iou, spread):
    draw = torch.Generator().manual_seed(0)
    centre, size = torch.rand(2, 6, 700, 2, generator=draw).unbind(0)
    boxes = torch.cat([centre * spread - size * 40, centre * spread + size * 40], -1)
    assert_as_torchvision(boxes, torch.rand(6, 700, generator=draw), max_iou, 32)


@pytest.mark.parametrize("max_iou", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
def test_ties_of_scores_and_of_overlaps_end_as_torchvisions(max_iou):
    """Whole coordinates and five scores: many IoUs are the very threshold, many boxes equal or without an area."""
    draw = torch.Generator().manual_seed(1)
    low, size = torch.randint(0, 6, (2, 100, 50, 2), generator=draw).float().unbind(0)
    scores = torch.randint(0, 5, (100, 50), generator=draw) / 5
    real = torch.rand(100, 50, generator=draw) < 0.8
    real[0] = False
    for most in (7, 60):
        assert_as_torchvision(torch.cat([low, low + size], -1), scores, max_iou, most, real)
