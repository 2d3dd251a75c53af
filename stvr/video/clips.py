"""Which frame of a video stands at each instant: every 1/fps of a second, the frame that is nearest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from statistics import median_low
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


def on_screen(
    frames: Iterable[tuple[int, T]], tail: int, time_base: Fraction, fps: int
) -> Iterator[tuple[int, T, int]]:
    """(tick, frame, count): each frame with the number of instants k/fps it is nearest to; of two as near, the earlier.

    frames: (tick, frame) in order, ticks in units of `time_base` after the first timestamp of the video; a tick that
    does not come after the one before is passed over. tail: ticks the last frame stays. Holds one frame and needs no
    list of them: what does not decode is simply not there. Integers, as floats break the ties of 30 -> 24 at random.
    """
    scale, unit = time_base.numerator * fps, time_base.denominator  # tick t lies at instant t * scale / unit
    instants = 0
    last: tuple[int, T] | None = None
    for tick, frame in frames:
        if last is not None:
            if tick <= last[0]:
                continue
            stop = (last[0] + tick) * scale // (2 * unit) + 1  # instants up to half way, the half itself included
            yield *last, max(stop - instants, 0)
            instants = max(stop, instants)
        last = (tick, frame)
    if last is not None:
        yield *last, max(count_instants(last[0] + tail, time_base, fps) - instants, 0)


def count_instants(duration: int, time_base: Fraction, fps: int) -> int:
    """How many k = 0, 1, ... have k/fps < duration, which is in units of `time_base`."""
    return -(-duration * time_base.numerator * fps // time_base.denominator)


def tail_of(ticks: NDArray[np.int64], packet_duration: int | None) -> int:
    """How long the last frame stays, in ticks: as its packet says, else as the frames before it do."""
    if packet_duration:
        return packet_duration
    return median_low(np.diff(ticks).tolist()) if len(ticks) > 1 else 0
