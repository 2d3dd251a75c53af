"""One clock for every video: the stamps of its pictures, whatever they are, become times that only go forward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil

import numpy as np
from numpy.typing import NDArray

LONGEST_SECONDS = 30  # that a picture may stand: slides and still screens do, a longer one is a clock that jumped
FEW = 8  # pictures in a row whose stamps may be stray
FINE = 90_000  # ticks a second at least, so that equal stamps can be spread
USUAL_INTERVAL = Fraction(1, 25)  # seconds between pictures whose stamps do not say


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """When each of N pictures is shown: ticks (N,) int64, rising from 0, in units of `time_base` seconds.

    interval: ticks between pictures, usually. bridged: what was not as it should be, in one line; "" for a clock that
    only goes forward, whose ticks are then the stamps.
    """

    ticks: NDArray[np.int64]
    time_base: Fraction
    interval: int
    bridged: str = ""


@dataclass(slots=True)
class _Walk:
    """Which pictures keep their stamps, `kept`, and from which on the clock is another, `begins`; and what was met."""

    kept: list[int] = field(default_factory=lambda: [0])
    begins: list[int] = field(default_factory=lambda: [0])
    equal: list[int] = field(default_factory=list)
    stray: list[int] = field(default_factory=list)


def is_clock(stamps: NDArray[np.int64], time_base: Fraction) -> bool:
    """Whether stamps (N,) only go forward, and by no more than a picture may stand."""
    steps = np.diff(stamps)
    return bool(((steps > 0) & (steps <= LONGEST_SECONDS / time_base)).all())


def timeline(stamps: Sequence[int | None] | NDArray[np.int64], time_base: Fraction) -> Timeline:
    """Of the stamps (N,) of at least one picture, in the order shown; None where a picture has none.

    Equal stamps are spread evenly up to the next, as are a few stray ones between their neighbours. A jump forward by
    more than LONGEST_SECONDS, and a step back, become one usual interval: N pictures never last longer than N times
    LONGEST_SECONDS.
    """
    lacking = [place for place, stamp in enumerate(stamps) if stamp is None]
    values = _filled(stamps, time_base)
    if not lacking and is_clock(values, time_base):
        return Timeline(values - values[0], time_base, usual_interval(values, time_base))
    finer = max(1, ceil(time_base * FINE))
    values, time_base = values * finer, time_base / finer
    interval, limit = usual_interval(values, time_base), int(LONGEST_SECONDS / time_base)
    walk = _walk(values.tolist(), interval, limit)
    found = Timeline(_laid_out(values, walk, interval), time_base, interval)
    return replace(found, bridged=_told(values, found, walk, lacking))


def _filled(stamps: Sequence[int | None] | NDArray[np.int64], time_base: Fraction) -> NDArray[np.int64]:
    """A picture without a stamp gets that of the one before; the first ones lie a usual interval apart."""
    known = np.array([stamp for stamp in stamps if stamp is not None] or [0], np.int64)
    place = next((place for place, stamp in enumerate(stamps) if stamp is not None), len(stamps))
    first, interval = int(known[0]), usual_interval(known, time_base)
    filled = [first - (place - before) * interval for before in range(place)]
    for stamp in stamps[place:]:
        filled.append(filled[-1] if stamp is None else int(stamp))
    return np.array(filled, np.int64)


def usual_interval(values: NDArray[np.int64], time_base: Fraction) -> int:
    """The usual interval, in ticks: of the steps near the median, the mean. A run of equal stamps shares its step."""
    begins = np.flatnonzero(np.diff(values, prepend=values[0] - 1))
    steps, lengths = np.diff(values[begins]), np.diff(begins)
    there = (steps > 0) & (steps <= LONGEST_SECONDS / time_base)
    intervals = np.repeat(steps[there] / lengths[there], lengths[there])
    if not len(intervals):
        return max(1, round(USUAL_INTERVAL / time_base))
    middle = np.quantile(intervals, 0.5, method="lower")
    return max(1, round(float(intervals[(intervals > middle / 2) & (intervals < middle * 3 / 2)].mean())))


def _walk(values: list[int], interval: int, limit: int) -> _Walk:
    walk = _Walk()
    for place in range(1, len(values)):
        last = walk.kept[-1]
        step = values[place] - values[last]
        if 0 < step <= limit:
            walk.kept.append(place)
        elif step == 0:
            walk.equal.append(place)
        elif _comes_back(values, last, place, interval, limit):
            walk.stray.append(place)
        elif strays := _led_astray(values, walk, place, interval, limit):
            walk.stray += walk.kept[-strays:]
            walk.kept[-strays:] = [place]
        else:
            walk.kept.append(place)
            walk.begins.append(place)
    return walk


def _follows(values: list[int], before: int, after: int, interval: int, limit: int) -> bool:
    """Whether a picture's stamp may follow that of one some places before it, at about the usual rate or slower."""
    return (after - before) * interval <= 2 * (values[after] - values[before]) <= 2 * limit


def _comes_back(values: list[int], last: int, place: int, interval: int, limit: int) -> bool:
    """Whether one of the next pictures follows the last that keeps its stamp, so that this one is stray."""
    return any(_follows(values, last, after, interval, limit)
               for after in range(place + 1, min(place + 1 + FEW, len(values))))


def _led_astray(values: list[int], walk: _Walk, place: int, interval: int, limit: int) -> int:
    """How many of the last that kept their stamps are stray, because this picture follows the one before them."""
    room = sum(1 for kept in walk.kept[-FEW:] if kept > walk.begins[-1])
    return next((count for count in range(1, room + 1)
                 if _follows(values, walk.kept[-1 - count], place, interval, limit)), 0)


def _laid_out(values: NDArray[np.int64], walk: _Walk, interval: int) -> NDArray[np.int64]:
    """Ticks (N,): kept stamps, what is spread evenly between them, usual intervals up to a new clock."""
    kept, begins = np.array(walk.kept), np.isin(walk.kept, walk.begins)[1:]
    steps = np.where(begins, np.diff(kept) * interval, np.diff(values[kept]))
    places = np.arange(len(values))
    ticks = np.round(np.interp(places, kept, np.cumsum([0, *steps]))).astype(np.int64)
    ticks += np.maximum(places - kept[-1], 0) * interval  # equal stamps at the end have no next
    return np.maximum.accumulate(ticks - places) + places


def _told(values: NDArray[np.int64], timeline: Timeline, walk: _Walk, lacking: list[int]) -> str:
    """What was met, how often, and where first, in seconds after the first picture."""
    jumps, back = ([place for place in walk.begins[1:] if (values[place] > values[place - 1]) == forward]
                   for forward in (True, False))
    met = {"jump{} forward": jumps, "step{} back": back, "repeated stamp{}": sorted({*walk.equal} - {*lacking}),
           "stray stamp{}": sorted(walk.stray), "picture{} without a stamp": lacking}
    unit, parts = float(timeline.time_base), []
    for what, places in met.items():
        if places:
            first, many = places[0], len(places) > 1
            size = f"of {abs(values[first] - values[first - 1]) * unit:.1f} s " if places in (jumps, back) else ""
            parts.append(f"{len(places)} {what.format('s' * many)} ({'the first ' * many}{size}"
                         f"at {timeline.ticks[first] * unit:.1f} s)")
    return f"its clock has {', '.join(parts)}, bridged at {1 / (timeline.interval * unit):.3g} pictures a second"
