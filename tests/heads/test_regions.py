"""Regions, held to TensorFlow's crop_and_resize and to torchvision's roi_align."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.ops import roi_align

from stvr.heads.regions import align_regions, crop_regions
from stvr.kernels.crop_max.reference import crop

YX = [1, 0, 3, 2]  # theirs are [ymin, xmin, ymax, xmax]


@pytest.fixture(scope="module")
def theirs(shared):
    return np.load(shared / "data/reference_values/od_api_reference_values.npz")


def test_regions_are_theirs(theirs):
    maps, boxes = torch.from_numpy(theirs["crop_feature"]), torch.from_numpy(theirs["crop_boxes"][:, YX])
    np.testing.assert_allclose(crop_regions(maps, boxes[None])[0], theirs["crop7"], atol=1e-4)


def test_the_samples_before_pooling_are_theirs(theirs):
    maps, boxes = torch.from_numpy(theirs["crop_feature"]), torch.from_numpy(theirs["crop_boxes"][:, YX])
    np.testing.assert_allclose(crop(maps, boxes, torch.zeros(6, dtype=torch.long)), theirs["crop14"], atol=1e-4)


def test_nothing_is_seen_outside_the_picture():
    outside = torch.tensor([[[-0.9, 0.1, -0.1, 0.9], [0.2, 1.1, 0.8, 1.9]]])
    assert (crop_regions(torch.rand(1, 6, 5, 3), outside) == 0).all()


def test_an_edge_that_rounding_carries_out_of_the_picture_is_in_it():
    maps, rounded = torch.rand(1, 6, 5, 3), torch.tensor([[[0.1, 0.2, 1.0000002, 1.0000002]]])
    torch.testing.assert_close(crop_regions(maps, rounded), crop_regions(maps, rounded.clamp_max(1)))


@pytest.mark.parametrize("size", [(20, 20), (10, 7)])
def test_roi_align_on_a_box_wider_by_half_a_bin_gives_the_same(size):
    """Its samples stand in the middle of 14 bins, ours on 14 points from edge to edge."""
    height, width = size
    draw = torch.Generator().manual_seed(0)
    maps = torch.rand(2, height, width, 5, dtype=torch.float64, generator=draw)
    low, high = torch.rand(2, 4, 2, dtype=torch.float64, generator=draw) / 2, 0.6
    boxes = torch.cat([low, low + 0.1 + (high - 0.2) * torch.rand(2, 4, 2, dtype=torch.float64, generator=draw)], -1)
    cells = boxes * torch.tensor([width - 1, height - 1] * 2)  # the outermost samples, in cells
    half = (cells[..., 2:] - cells[..., :2]) / 13 / 2
    wider = torch.cat([cells[..., :2] - half, cells[..., 2:] + half], -1)
    crops = roi_align(maps.permute(0, 3, 1, 2), list(wider + 0.5), 14, sampling_ratio=1, aligned=True)
    pooled = torch.nn.functional.max_pool2d(crops, 2).permute(0, 2, 3, 1).unflatten(0, (2, 4))
    torch.testing.assert_close(crop_regions(maps, boxes), pooled)


def test_gradients_reach_the_maps():
    maps = torch.rand(1, 4, 4, 2, dtype=torch.float64, requires_grad=True)
    boxes = torch.tensor([[[0.1, 0.2, 0.7, 0.9]]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda m: crop_regions(m, boxes), maps)


def test_an_aligned_region_of_whole_cells_is_those_cells():
    """Seven cells to seven bins: one sample a bin, in the middle of its cell."""
    maps = torch.rand(2, 14, 28, 3)
    boxes = torch.tensor([[[2 / 28, 3 / 14, 9 / 28, 10 / 14], [0.5, 0.5, 0.5, 0.9]], [[0, 0, 7 / 28, 7 / 14], [0] * 4]])
    found = align_regions(maps, boxes)
    torch.testing.assert_close(found[0, 0], maps[0, 3:10, 2:9].permute(2, 0, 1))
    torch.testing.assert_close(found[1, 0], maps[1, :7, :7].permute(2, 0, 1))
    assert bool((found[:, 1] == 0).all())  # no area
