"""Tubelets laid out clip by clip, held to a case counted by hand."""

import torch

from stvr.structures import Span, Tubelet
from stvr.tubelets.by_clip import boxes_by_clip

FIRST, SECOND = [0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]


def tubelet(box: list[float], start: int, stop: int) -> Tubelet:
    return Tubelet(Span("v", start, stop), torch.tensor([box] * (stop - start)))


def test_every_clip_has_the_boxes_that_stand_there_and_their_owners():
    """Clips 2 to 5 of tubelets over clips 0 to 4 and 3 to 8: the ends that stick out are not there."""
    clips = boxes_by_clip([tubelet(SECOND, 0, 4), tubelet(FIRST, 3, 8)], start=2, num_clips=4)
    assert [list(clip.owners) for clip in clips] == [[0], [0, 1], [1], [1]]
    assert [clip.boxes.tolist() for clip in clips] == [[SECOND], [SECOND, FIRST], [FIRST], [FIRST]]


def test_a_clip_without_a_box_has_an_empty_table_of_boxes():
    (clip,) = boxes_by_clip([tubelet(FIRST, 0, 2)], start=5, num_clips=1)
    assert clip.boxes.shape == (0, 4)
    assert list(clip.owners) == []
