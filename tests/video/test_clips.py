"""The frame on screen at each instant is exactly the nearest one."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from barcode import nearest
from hypothesis import given, settings
from hypothesis import strategies as st

from stvr.video.clips import count_instants, on_screen, tail_of

TIME_BASES = st.sampled_from(
    [Fraction(1, 24), Fraction(1, 30), Fraction(1001, 30000), Fraction(1, 1000), Fraction(1, 90000), Fraction(2, 7)]
)


def choose(ticks: np.ndarray, tail: int, time_base: Fraction, fps: int) -> np.ndarray:
    """For each instant, which frame is on screen: indices into `ticks`, (K,)."""
    shown = on_screen(((int(tick), index) for index, tick in enumerate(ticks)), tail, time_base, fps)
    frames, counts = zip(*((index, count) for _, index, count in shown), strict=True)
    return np.repeat(frames, counts)


def test_30_to_24_takes_the_earlier_of_two_as_near():
    # by hand: instant k lies at frame 1.25 k = 0, 1.25, 2.5, 3.75, 5, 6.25, 7.5, 8.75
    chosen = choose(np.arange(10), 1, Fraction(1, 30), 24)
    assert chosen.tolist() == [0, 1, 2, 4, 5, 6, 7, 9]


def test_12_to_24_shows_every_frame_twice():
    # by hand: the odd instants lie half way between two frames, and after the last frame there is no other
    assert choose(np.arange(3), 1, Fraction(1, 12), 24).tolist() == [0, 0, 1, 1, 2, 2]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 40), max_size=30), st.integers(0, 40), TIME_BASES, st.sampled_from([5, 24, 25, 30]))
def test_every_instant_has_its_nearest_frame(intervals, tail, time_base, fps):
    scale = max(1, Fraction(1, 200) // time_base)  # a few hundred instants at most
    ticks = np.cumsum([0, *intervals]) * scale
    expected = nearest([tick * time_base for tick in ticks.tolist()], (int(ticks[-1]) + tail) * time_base, fps)
    assert choose(ticks, tail, time_base, fps).tolist() == expected


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=3, max_size=30), st.integers(1, 6), st.data())
def test_the_neighbours_of_missing_frames_take_their_place(intervals, tail, data):
    ticks, time_base = np.cumsum([0, *intervals]).tolist(), Fraction(1, 60)
    left = sorted(data.draw(st.sets(st.sampled_from(ticks), min_size=1)))
    expected = [left[n] for n in nearest([t * time_base for t in left], (left[-1] + tail) * time_base, 24)]
    shown = on_screen(((tick, None) for tick in left), tail, time_base, 24)
    assert [tick for tick, _, count in shown for _ in range(count)] == expected


def test_ticks_of_a_long_video_at_a_fine_time_base_do_not_overflow():
    # 300 hours in nanoseconds: tick * fps * 2 alone is more than 2^63 / 200
    ticks = np.array([0, 3600 * 300 * 10**9], np.int64)
    chosen = choose(ticks, 10**9, Fraction(1, 10**9), 1)
    half = 3600 * 150  # the instant half way between the two frames belongs to the first
    assert [chosen[half], chosen[half + 1], len(chosen)] == [0, 1, 3600 * 300 + 1]


def test_a_frame_that_is_not_later_than_the_one_before_is_skipped():
    frames = [(0, "a"), (2, "b"), (2, "twin"), (1, "late"), (4, "c")]
    shown = [(frame, count) for _, frame, count in on_screen(frames, 2, Fraction(1, 24), 24)]
    assert shown == [("a", 2), ("b", 2), ("c", 2)]


@pytest.mark.parametrize(
    ("duration", "time_base", "expected"),
    [(0, Fraction(1, 24), 0), (24, Fraction(1, 24), 24), (1, Fraction(1, 1000), 1), (42, Fraction(1, 1000), 2)],
)
def test_instants_are_counted_from_zero_up_to_but_not_including_the_end(duration, time_base, expected):
    assert count_instants(duration, time_base, 24) == expected


def test_the_last_frame_stays_as_long_as_its_packet_says_or_else_as_long_as_the_others():
    ticks = np.array([0, 10, 20, 60])
    assert tail_of(ticks, 7) == 7
    assert [tail_of(ticks, None), tail_of(ticks, 0)] == [10, 10]
    assert tail_of(ticks[:1], None) == 0
