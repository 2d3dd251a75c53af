"""Overlap of boxes and tubelets, held to hand-counted cases."""

import pytest
import torch

from stvr.structures import LABEL_DIFFERENT, LABEL_SAME, Detections, Span, Tubelet
from stvr.tubelets.geometry import of_label, to_pixels, tube_cover, tube_iou


def tubelet(start: int, boxes: list[list[float]], video: str = "v") -> Tubelet:
    return Tubelet(Span(video, start, start + len(boxes)), torch.tensor(boxes))


SMALL, WIDE, LEFT_HALF = [0.0, 0.0, 0.2, 0.5], [0.0, 0.0, 0.4, 0.5], [0.0, 0.0, 0.1, 0.5]


def test_the_tube_iou_is_as_counted_by_hand():
    first = tubelet(0, [SMALL, SMALL, SMALL])  # areas .1 .1 .1
    second = tubelet(1, [SMALL, WIDE, WIDE])  # clips 1 2 3, areas .1 .2 .2
    # shared clips 1, 2: IoU 1 and .1/.2; temporal IoU 2/4
    assert tube_iou(first, second) == pytest.approx(0.5 * (1 + 0.5) / 2, abs=1e-6)


def test_a_part_of_a_tubelet_is_covered_whole():
    whole, part = tubelet(0, [SMALL] * 8), tubelet(3, [SMALL] * 2)
    assert tube_cover(whole, part) == pytest.approx(1)
    assert tube_iou(whole, part) == pytest.approx(2 / 8)
    assert tube_cover(whole, tubelet(7, [LEFT_HALF] * 2)) == pytest.approx(0.5 * 1 / 2)


@pytest.mark.parametrize("overlap", [tube_iou, tube_cover])
def test_overlap_is_symmetric_and_one_with_itself(overlap):
    first, second = tubelet(0, [SMALL, WIDE, LEFT_HALF]), tubelet(1, [WIDE, SMALL])
    assert overlap(first, second) == overlap(second, first)
    assert overlap(first, first) == pytest.approx(1)


@pytest.mark.parametrize("overlap", [tube_iou, tube_cover])
def test_tubelets_that_never_meet_do_not_overlap(overlap):
    here = tubelet(0, [SMALL, SMALL])
    assert overlap(here, tubelet(2, [SMALL])) == 0  # another time
    assert overlap(here, tubelet(0, [SMALL, SMALL], video="w")) == 0  # another video
    assert overlap(here, tubelet(0, [[0.5, 0.5, 0.9, 0.9]] * 2)) == 0  # another place
    assert overlap(tubelet(0, [[0.3] * 4]), tubelet(0, [[0.3] * 4])) == 0  # boxes without area: 0, not NaN


def test_boxes_are_scaled_to_the_pixels_of_the_picture():
    boxes = torch.tensor([[0, 0.25, 0.5, 1]])
    assert to_pixels(boxes, width=320, height=240).tolist() == [[0, 60, 160, 240]]


def test_one_class_is_taken_out_in_order():
    found = Detections(
        torch.arange(12.0).reshape(3, 4), torch.tensor([0.9, 0.8, 0.7]),
        torch.tensor([LABEL_SAME, LABEL_DIFFERENT, LABEL_SAME]),
    )  # fmt: skip
    same = of_label(found, LABEL_SAME)
    assert same.scores.tolist() == pytest.approx([0.9, 0.7])
    assert same.boxes[1].tolist() == [8, 9, 10, 11]
