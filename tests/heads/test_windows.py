"""Windows over a grid of cells: their number by hand, their sums by NumPy, the grid of STEP as published."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.interpolate import RegularGridInterpolator

from stvr.heads.similarity import apart, best_boxes, pulled, running_mean
from stvr.heads.windows import MAX_ASPECT, STEP, Windows, mean_outside, means_in, step_grid


def test_the_grid_of_step_is_as_published():
    """NVlabs/STEP, anchor_mode 1: 3 x 3 boxes of side .75 and 5 x 5 of side .5, all .125 apart."""
    boxes = torch.cat([lattice.boxes() for lattice in step_grid()])
    large = [(x / 8, y / 8, x / 8 + 0.75, y / 8 + 0.75) for y in range(3) for x in range(3)]
    small = [(x / 8, y / 8, x / 8 + 0.5, y / 8 + 0.5) for y in range(5) for x in range(5)]
    assert len(boxes) == 34
    torch.testing.assert_close(boxes, torch.tensor(large + small), atol=1e-6, rtol=0)


def test_every_window_is_there_once():
    """Counted by hand: (21 - h) (21 - w) places of each shape that is not too thin."""
    count = sum((STEP + 1 - h) * (STEP + 1 - w) for h in range(2, STEP + 1) for w in range(2, STEP + 1)
                if max(h / w, w / h) <= MAX_ASPECT)
    boxes = Windows(["map"]).boxes
    assert len(boxes) == count == len({tuple(box) for box in (boxes * STEP).round().int().tolist()})


@pytest.mark.parametrize("names", [["map"], ["grid"], ["map", "grid"]])
def test_the_worth_of_a_window_is_its_sum_by_the_root_of_its_area(names):
    """Against SciPy, between the corners of the running sums of an odd map, where a sum is bilinear."""
    maps = torch.randn(2, 7, 12, generator=torch.Generator().manual_seed(0))
    windows = Windows(names)
    sums = np.pad(maps.numpy().astype(np.float64).cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))
    x1, y1, x2, y2 = windows.boxes.numpy().astype(np.float64).T
    for one, worth in zip(sums, windows.worth(maps).numpy(), strict=True):
        at = RegularGridInterpolator((np.arange(8) / 7, np.arange(13) / 12), one, bounds_error=False, fill_value=None)
        held = at((y2, x2)) - at((y1, x2)) - at((y2, x1)) + at((y1, x1))
        np.testing.assert_allclose(worth, held / np.sqrt((x2 - x1) * (y2 - y1) * 7 * 12), atol=1e-4)


def test_means_inside_and_outside_a_box():
    maps = torch.arange(2 * 4 * 5 * 3).reshape(2, 4, 5, 3).float()
    boxes = torch.tensor([[0.2, 0.25, 0.6, 0.5], [0.1, 0.0, 0.3, 0.25]])  # whole cells; halves of two
    inside = means_in(maps, boxes[:, None])[:, 0]
    torch.testing.assert_close(inside[0], maps[0, 1:2, 1:3].mean((0, 1)))
    torch.testing.assert_close(inside[1], (maps[1, 0, 0] + maps[1, 0, 1]) / 2)
    outside = mean_outside(maps, boxes)
    rest = np.ones((4, 5), bool)
    rest[1, 1:3] = False
    np.testing.assert_allclose(outside[0].numpy(), maps[0].numpy()[rest].mean(0), rtol=1e-6)
    assert (mean_outside(maps, torch.tensor([[0.0, 0.0, 1.0, 1.0]] * 2)) == 0).all()


def test_the_best_window_is_the_bright_rectangle():
    maps = torch.full((1, 20, 20), -0.3)
    maps[0, 4:12, 6:10] = 2.0
    boxes, worth = best_boxes(maps, Windows(["map"]), None, 5, 0.3)[0]
    torch.testing.assert_close(boxes[0], torch.tensor([6, 4, 10, 12]) / 20)
    assert float(worth[0]) == pytest.approx(2.0 * 32 / 32**0.5, rel=1e-5)


def test_a_box_is_pulled_half_way_to_where_the_map_falls_off():
    one = torch.zeros(20, 20)
    one[5:15, 8:12] = 1.0
    box = pulled(one, torch.tensor([[6, 5, 12, 15]]) / 20)[0]  # two columns too wide; its mean is 2 / 3
    torch.testing.assert_close(box, torch.tensor([7, 5, 12, 15]) / 20)


def test_windows_that_cover_one_another_are_one_answer():
    boxes = torch.tensor([[0.0, 0.0, 0.4, 0.4], [0.1, 0.1, 0.3, 0.3], [0.5, 0.5, 0.9, 0.9], [0.35, 0.0, 0.7, 0.4]])
    kept = apart(boxes, torch.tensor([3.0, 2.9, 1.0, 0.5]), 5, 0.3)
    assert kept.tolist() == [0, 2, 3]  # the second lies in the first
    assert apart(boxes, -torch.ones(4), 5, 0.3).tolist() == []


def test_a_running_mean_looks_back_only():
    values = torch.tensor([[1.0], [3.0], [8.0]])
    assert running_mean(values, 2)[:, 0].tolist() == [1.0, 2.0, 5.5]
    assert running_mean(values, 3)[:, 0].tolist() == [1.0, 2.0, 4.0]
    assert running_mean(values[:0], 2).shape == (0, 1)
