"""Which frame of a video is on screen at each instant: for every 1/fps of a second, the nearest frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from statistics import median_low
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


def on_screen(
    frames: Iterable[tuple[int, T]], tail: int | Callable[[], int], time_base: Fraction, fps: int
) -> Iterator[tuple[int, T, int]]:
    """(tick, frame, count): each frame with the number of instants k/fps it is nearest to; on a tie, the earlier frame.

    frames: (tick, frame) in order, ticks in units of `time_base` after the video's first timestamp; a frame whose tick
    is not later than the one before is skipped. tail: ticks the last frame stays on screen, asked at the end where it
    is a function. Holds one frame at a time and needs no list of them, so a frame that does not decode is simply
    missing. Works in integers, because floats break the ties of 30 -> 24 fps at random.
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
        stays = tail if isinstance(tail, int) else tail()
        yield *last, max(count_instants(last[0] + stays, time_base, fps) - instants, 0)


def count_instants(duration: int, time_base: Fraction, fps: int) -> int:
    """How many k = 0, 1, ... have k/fps < duration, which is in units of `time_base`."""
    return -(-duration * time_base.numerator * fps // time_base.denominator)


def tail_of(ticks: NDArray[np.int64], packet_duration: int | None) -> int:
    """How long the last frame stays, in ticks: as long as its packet says, or else as long as the frames before it."""
    if packet_duration:
        return packet_duration
    return median_low(np.diff(ticks).tolist()) if len(ticks) > 1 else 0
