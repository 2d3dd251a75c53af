"""The clock of a live video against that of a file, which knows all stamps at once."""

from __future__ import annotations

from fractions import Fraction

import pytest

from stvr.video.clock import timeline
from stvr.video.live_clock import LiveClock

UNIT = Fraction(1, 90_000)
STEP = 3600  # 25 pictures a second


def live(stamps, start=None):
    """Seconds after the first picture, and how many stamps were not believed."""
    clock = LiveClock(UNIT, Fraction(1, 25))
    found = list(clock.times(((stamp, number) for number, stamp in enumerate(stamps)), start))
    assert [number for _, number in found] == list(range(len(stamps)))  # none is lost, none overtakes another
    return [float(tick * clock.time_base) for tick, _ in found], clock.bridged


def offline(stamps):
    clock = timeline(stamps, UNIT)
    return [float(tick * clock.time_base) for tick in clock.ticks]


EVEN = [STEP * number for number in range(40)]
HELD = [stamp + 90_000 * (number >= 20) * 7 for number, stamp in enumerate(EVEN)]  # a slide stands for seven seconds
RAGGED = [stamp + (number * 7919) % 900 for number, stamp in enumerate(EVEN)]
FORWARD = [stamp + 90_000 * 3600 * (number >= 20) for number, stamp in enumerate(EVEN)]
BACK = [stamp - STEP * 20 * (number >= 20) for number, stamp in enumerate(EVEN)]
REPEATED = [EVEN[number - number % 2] for number in range(40)]
STRAY = [stamp + 90_000 * 3600 * (number == 20) for number, stamp in enumerate(EVEN)]
STRAY_BACK = [5 if number in (20, 21) else stamp for number, stamp in enumerate(EVEN)]
STRAY_NEAR = [stamp + 90_000 * 5 * (number == 20) for number, stamp in enumerate(EVEN)]
LACKING = [None if number % 4 == 3 else stamp for number, stamp in enumerate(EVEN)]


@pytest.mark.parametrize(("stamps", "bridged"), [
    (EVEN, 0), (HELD, 0), (RAGGED, 0), (FORWARD, 1), (BACK, 1), (REPEATED, 20), (STRAY, 1), (STRAY_BACK, 2),
    (STRAY_NEAR, 1), (LACKING, 10), ([7], 0), ([3, 3], 1),
], ids=["even", "held", "ragged", "forward", "back", "repeated", "stray", "stray back", "stray near", "lacking", "one",
        "two"])  # fmt: skip
def test_a_live_clock_tells_the_times_of_one_that_knows_all(stamps, bridged):
    seconds, count = live(stamps)
    assert seconds == pytest.approx(offline(stamps), abs=2e-3)
    assert count == bridged


def test_pictures_that_follow_do_not_wait():
    clock, given = LiveClock(UNIT, Fraction(1, 25)), 0

    def camera():
        nonlocal given
        for stamp in EVEN:
            given += 1
            yield stamp, given

    assert all(picture == given for _, picture in clock.times(camera(), None))


def test_a_start_before_the_first_picture_is_kept():
    """The first picture that decodes may not be the first that there is."""
    assert live([STEP * 5, STEP * 6], start=STEP * 3)[0] == pytest.approx([0.08, 0.12])
