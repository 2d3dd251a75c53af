"""Promises of boxes that nobody named: each gets one track, and those that lie in one place get the same."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stvr.tubelets.unnamed import number_tracks


def walking(frames: list[int], x: float) -> list[tuple[int, list[float]]]:
    return [(frame, [x + frame, 0.0, x + frame + 30, 60.0]) for frame in frames]


def test_two_people_side_by_side_are_two_tracks_whatever_the_order():
    seen = walking(list(range(20)), 0) + walking(list(range(20)), 100)
    order = np.random.default_rng(0).permutation(len(seen))
    numbers = number_tracks([seen[place][0] for place in order], [seen[place][1] for place in order])
    of_first = {int(number) for number, place in zip(numbers, order, strict=True) if place < 20}
    of_second = {int(number) for number, place in zip(numbers, order, strict=True) if place >= 20}
    assert len(of_first) == len(of_second) == 1
    assert of_first != of_second


def test_boxes_in_every_tenth_frame_are_linked_too():
    frames = list(range(0, 200, 10))
    assert set(number_tracks(frames, [[5.0, 5.0, 35.0, 65.0]] * 20).tolist()) == {0}


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=30))
def test_no_box_is_lost_and_no_track_has_two_in_a_frame(drawn: list[tuple[int, int, int]]):
    frames = [frame for frame, _, _ in drawn]
    numbers = number_tracks(frames, [[x, y, x + 10, y + 10] for _, x, y in drawn])
    assert (numbers >= 0).all()
    assert len(set(zip(frames, numbers.tolist(), strict=True))) == len(drawn)
