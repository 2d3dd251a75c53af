"""Time codes are SMPTE's: counted by hand, and OpenTimelineIO's."""

from __future__ import annotations

from fractions import Fraction

import pytest
from opentimelineio.opentime import RationalTime

from stvr.render.hits.timecode import DROPPING, RATES, drops, frame_at_clock, nearest_rate, standard_rate, timecode

NTSC30, NTSC60, FILM = Fraction(30000, 1001), Fraction(60000, 1001), Fraction(24000, 1001)

# 30 (60) numbers a second; the first two (four) of every minute are left out, but of minutes 0, 10, 20, 30, 40, 50.
BY_HAND = [
    (NTSC30, True, 0, "00:00:00;00"), (NTSC30, True, 1799, "00:00:59;29"), (NTSC30, True, 1800, "00:01:00;02"),
    (NTSC30, True, 3597, "00:01:59;29"), (NTSC30, True, 3598, "00:02:00;02"),
    (NTSC30, True, 17981, "00:09:59;29"), (NTSC30, True, 17982, "00:10:00;00"), (NTSC30, True, 17983, "00:10:00;01"),
    (NTSC30, True, 17982 + 1800, "00:11:00;02"), (NTSC30, True, 6 * 17982, "01:00:00;00"),
    (NTSC30, True, 24 * 6 * 17982 - 1, "23:59:59;29"), (NTSC30, True, 24 * 6 * 17982, "00:00:00;00"),
    (NTSC60, True, 3599, "00:00:59;59"), (NTSC60, True, 3600, "00:01:00;04"), (NTSC60, True, 7195, "00:01:59;59"),
    (NTSC60, True, 7196, "00:02:00;04"), (NTSC60, True, 35963, "00:09:59;59"), (NTSC60, True, 35964, "00:10:00;00"),
    (NTSC60, True, 6 * 35964, "01:00:00;00"),
    (NTSC30, False, 1800, "00:01:00:00"), (NTSC30, False, 108000, "01:00:00:00"),
    (FILM, False, 23, "00:00:00:23"), (FILM, False, 24, "00:00:01:00"), (FILM, False, 86400, "01:00:00:00"),
    (Fraction(24), False, 1440, "00:01:00:00"), (Fraction(25), False, 1499, "00:00:59:24"),
    (Fraction(25), False, 24 * 90000, "00:00:00:00"), (Fraction(30), False, 1801, "00:01:00:01"),
    (Fraction(120), False, 119, "00:00:00:119"), (Fraction(100), False, 99, "00:00:00:99"),
]  # fmt: skip


@pytest.mark.parametrize(("rate", "drop", "frame", "code"), BY_HAND)
def test_time_codes_by_hand(rate: Fraction, drop: bool, frame: int, code: str):
    assert timecode(frame, rate, drop) == code


@pytest.mark.parametrize(("rate", "drop"), [(NTSC30, True), (NTSC60, True), (NTSC30, False), (FILM, False),
                                            (Fraction(24), False), (Fraction(25), False), (Fraction(30), False)])
def test_time_codes_are_those_of_opentimelineio(rate: Fraction, drop: bool):
    stop = 23 * frame_at_clock(1, rate, drop)  # its day at 29.97 without drops ends a minute and a half early
    for frame in {*range(0, stop, 997), *range(1790, 1810), *range(17970, 17990), *range(35950, 35970), stop - 1}:
        assert timecode(frame, rate, drop) == RationalTime(frame, float(rate)).to_timecode(float(rate), drop), frame


def test_a_drop_frame_clock_is_right_after_an_hour_and_one_that_drops_none_is_late():
    frame = round(3600 * NTSC30)  # 3,600 seconds of the clock on the wall
    assert timecode(frame, NTSC30, True) == "01:00:00;00"
    assert timecode(frame, NTSC30, False) == "00:59:56:12"  # 108 numbers behind


@pytest.mark.parametrize(("fps", "rate"), [(29.97, NTSC30), (30000 / 1001, NTSC30), (30.0, Fraction(30)),
                                           (23.976, FILM), (23.98, FILM), (24.0, Fraction(24)), (59.94, NTSC60),
                                           (12.0, None), (27.5, None)])  # fmt: skip
def test_rates_are_known_by_what_files_call_them(fps: float, rate: Fraction | None):
    assert standard_rate(fps) == rate


def test_only_29_97_and_59_94_drop():
    assert [rate for rate in RATES if drops(rate, None)] == list(DROPPING)
    assert not drops(NTSC30, False)
    with pytest.raises(ValueError, match="not for 25"):
        drops(Fraction(25), True)
    assert nearest_rate(12) == FILM
