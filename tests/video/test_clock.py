"""One timeline of the pictures that are there, whatever their stamps say."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stvr.video.clips import count_instants
from stvr.video.clock import LONGEST_SECONDS, is_clock, timeline

MS = Fraction(1, 1000)
STAMPS = st.one_of(
    st.lists(st.one_of(st.none(), st.integers(-(10**12), 10**12)), min_size=1, max_size=60),
    # a clock that mostly goes on, with jumps, repeats and gaps
    st.lists(st.sampled_from([40, 40, 40, 40, 0, 1, 33, 5000, 10**8, -40, -(10**7)]), max_size=60).map(
        lambda steps: np.cumsum([0, *steps]).tolist()),
)  # fmt: skip


def milliseconds(stamps: list[int | None], time_base: Fraction = MS) -> list[float]:
    """When each picture is shown."""
    clock = timeline(stamps, time_base)
    return [round(float(tick * clock.time_base * 1000), 1) for tick in clock.ticks.tolist()]


@settings(max_examples=300, deadline=None)
@given(STAMPS, st.sampled_from([MS, Fraction(1, 90000), Fraction(1, 25), Fraction(1), Fraction(1, 10**9)]))
@example([0, 10**12], MS)
@example([None], MS)
def test_every_picture_has_a_place_of_its_own_and_no_clips_are_made_of_nothing(stamps, time_base):
    clock = timeline(stamps, time_base)
    assert len(clock.ticks) == len(stamps)
    assert clock.ticks[0] == 0
    assert (np.diff(clock.ticks) > 0).all()  # the order they are shown in
    steps = np.diff(clock.ticks) * float(clock.time_base)
    assert (steps <= LONGEST_SECONDS + 1e-6).all()
    clips = count_instants(int(clock.ticks[-1]), clock.time_base, 3)
    assert clips <= len(stamps) * LONGEST_SECONDS * 3


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, LONGEST_SECONDS * 1000), max_size=50), st.integers(-(10**9), 10**9))
def test_a_clock_that_goes_forward_is_left_as_it_is(steps, start):
    stamps = np.cumsum([start, *steps]).tolist()
    clock = timeline(stamps, MS)
    assert (clock.bridged, clock.time_base) == ("", MS)
    assert clock.ticks.tolist() == [stamp - start for stamp in stamps]


# every number by hand, from pictures 40 ms apart
@pytest.mark.parametrize(
    ("stamps", "shown", "told"),
    [
        ([0, 40, 80, 1_200_080, 1_200_120], [0, 40, 80, 120, 160], "1 jump forward (of 1200.0 s at 0.1 s)"),
        ([0, 40, 80, 30_080, 30_120], [0, 40, 80, 30_080, 30_120], ""),  # half a minute is a slide
        ([0, 40, 80, 30_081, 30_121], [0, 40, 80, 120, 160], "1 jump forward (of 30.0 s"),
        ([5000, 5040, 5080, 0, 40, 80], [0, 40, 80, 120, 160, 200], "1 step back (of 5.1 s at 0.1 s)"),
        ([0, 40, 80, 90_000, 160, 200], [0, 40, 80, 120, 160, 200], "1 stray stamp (at 0.1 s)"),
        ([400, 440, 480, 0, 560, 600], [0, 40, 80, 120, 160, 200], "1 stray stamp"),
        ([0, 40, 80, 5000, 5040, 200, 240], [0, 40, 80, 120, 160, 200, 240], "2 stray stamps (the first at 0.1 s)"),
        ([0, 40, 80, 80, 160, 200], [0, 40, 80, 120, 160, 200], "1 repeated stamp"),
        ([0, 40, None, 120, 160], [0, 40, 80, 120, 160], "1 picture without a stamp"),
        ([None, None, 0, 40, 80], [0, 40, 80, 120, 160], "2 pictures without a stamp"),
        ([7, 7, 7, 7], [0, 40, 80, 120], "3 repeated stamps"),  # nothing else is known: 25 a second
    ],
)
def test_what_is_wrong_is_bridged_at_the_usual_rate_and_told(stamps, shown, told):
    assert milliseconds(stamps) == shown
    assert told in timeline(stamps, MS).bridged
    assert ("bridged at 25 pictures a second" in timeline(stamps, MS).bridged) == bool(told)
    assert "\n" not in timeline(stamps, MS).bridged


@pytest.mark.parametrize("time_base", [MS, Fraction(1)])
def test_pictures_stamped_in_whole_seconds_are_spread_evenly(time_base):
    # 24 a second for four seconds: picture k at k / 24 s, the last second's too, which has no next
    clock = timeline([k // 24 * int(1 / time_base) for k in range(96)], time_base)
    shown = clock.ticks * float(clock.time_base)
    assert np.abs(shown - np.arange(96) / 24).max() < 0.0005
    assert clock.bridged == "its clock has 92 repeated stamps (the first at 0.0 s), bridged at 24 pictures a second"


def test_a_clock_is_one_that_only_goes_forward():
    assert is_clock(np.array([5, 6, 30_006]), MS)
    assert not is_clock(np.array([5, 6, 30_007]), MS)
    assert not is_clock(np.array([5, 5]), MS)
