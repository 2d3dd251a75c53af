"""The arithmetic of progressive tubelets, held to what is published of STEP and to torchvision's box coder."""

from __future__ import annotations

import pytest
import torch
from torchvision.models.detection._utils import BoxCoder

from stvr.heads.tubes import (
    central,
    decode_tubes,
    encode_tubes,
    extrapolated,
    first_boxes,
    in_picture,
    repeated_mean,
)


@pytest.mark.parametrize(("grid", "count"), [(1, 34), (2, 59), (3, 84), (4, 109)])
def test_a_grid_has_as_many_boxes_as_published(grid, count):
    boxes = first_boxes(grid)
    assert len(boxes) == count == len({tuple(box) for box in boxes.tolist()})
    assert boxes[0].tolist() == [0.0, 0.0, 0.75, 0.75]
    assert boxes.min() >= 0
    assert boxes.max() <= 1 + 1e-6
    sides = (boxes[:, 2:] - boxes[:, :2]).round(decimals=4)
    assert torch.equal(sides[:, 0], sides[:, 1])
    assert [int((sides[:, 0] == side).sum()) for side in (0.75, 0.5)] == [9, 25]


@pytest.mark.parametrize(("middle", "whole"), [
    ([10, 12, 14], [4, 6, 8, 10, 12, 14, 16, 18, 20]),
    ([10, 12, 17], [0.625, 3.75, 6.5, 10, 12, 17, 20.5, 24.75, 28.625]),
])  # fmt: skip
def test_tubes_go_on_as_published(middle, whole):
    tubes = torch.tensor(middle).float()[None, :, None].expand(1, 3, 4)
    before, after = extrapolated(tubes, 3)
    assert torch.cat([before, tubes, after], 1)[0, :, 2].tolist() == whole


def test_a_box_is_coded_as_torchvision_codes_it_with_its_last_pixel_counted():
    draw = torch.Generator().manual_seed(0)
    low, size = torch.rand(2, 20, 2, generator=draw) * 200, torch.rand(2, 20, 2, generator=draw) * 150 + 3
    boxes, tubes = torch.cat([low, low + size], -1)
    counted = torch.tensor([0.0, 0.0, 1.0, 1.0])
    theirs = BoxCoder((1.0, 1.0, 1.0, 1.0)).encode_single(boxes + counted, tubes + counted)
    codes = encode_tubes(boxes, tubes)
    torch.testing.assert_close(codes, theirs, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(decode_tubes(codes, tubes), boxes, atol=1e-3, rtol=1e-5)


def test_a_box_outside_is_cut_and_one_of_two_pixels_becomes_the_picture():
    boxes = torch.tensor([[-5.0, 10, 50, 500], [10, 10, 12, 90], [10, 10, 12.5, 90], [60, 10, 20, 90]])
    wanted = [[0.0, 10, 50, 400], [0, 0, 400, 400], [10, 10, 12.5, 90], [0, 0, 400, 400]]
    assert in_picture(boxes, 400).tolist() == wanted


def test_the_mean_box_is_repeated_and_the_middle_is_the_middle():
    tubes = torch.tensor([0.0, 3.0, 9.0])[None, :, None].expand(1, 3, 4)
    before, after = repeated_mean(tubes, 3)
    assert before.tolist() == after.tolist() == [[[4.0] * 4] * 3]
    assert central(torch.arange(9)[None], 3).tolist() == [[3, 4, 5]]
