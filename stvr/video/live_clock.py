"""The clock of a video that is still coming: its pictures' stamps become times that only go forward, one by one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import islice
from math import ceil
from typing import Generic, TypeVar

import numpy as np

from stvr.video.clock import FEW, FINE, LONGEST_SECONDS, usual_interval

T = TypeVar("T")
REMEMBERED = 64  # pictures that tell the usual interval
LONG = 8  # usual intervals after which a step forward may be stray


class LiveClock(Generic[T]):
    """As `stvr.video.clock.timeline`, of pictures that come one by one, with the interval that was usual of late.

    A picture whose stamp follows the last is passed on at once. One whose stamp repeats, runs back, jumps, or lacks
    waits until FEW more have come, which say whether it is stray. time_base: of the ticks, finer than the stream's.
    bridged: how many pictures' stamps were not believed.
    """

    def __init__(self, time_base: Fraction, interval: Fraction) -> None:
        """time_base: of the stamps. interval: seconds between pictures, while nothing better is known."""
        self.finer = max(1, ceil(time_base * FINE))
        self.time_base = time_base / self.finer
        self.limit = int(LONGEST_SECONDS / self.time_base)
        self.bridged = 0
        self._steps: deque[int] = deque(maxlen=REMEMBERED)
        self.interval = max(1, round(interval / self.time_base))  # ticks between pictures, usually
        self._believing = 0
        self._stamp, self._tick = 0, 0  # of the last picture passed on, both in ticks
        self._waiting: deque[tuple[int | None, T]] = deque()

    def times(self, pictures: Iterable[tuple[int | None, T]], start: int | None) -> Iterator[tuple[int, T]]:
        """(stamp, picture) in the order shown -> (tick after `start`, picture), ticks rising. start: a stamp."""
        begins = True
        for stamp, picture in pictures:
            ticks = None if stamp is None else stamp * self.finer
            if begins:
                first = start * self.finer if start is not None else ticks or 0
                ticks = first if ticks is None else ticks
                self._stamp, self._tick, begins = ticks, max(ticks - first, 0), False
                yield self._tick, picture
                continue
            self._waiting.append((ticks, picture))
            yield from self._ready(FEW)
        yield from self._ready(0)

    def _ready(self, few: int) -> Iterator[tuple[int, T]]:
        """The pictures whose times are known. few: how many must wait behind one that is suspect."""
        while self._waiting:
            stamp = self._waiting[0][0]
            step = None if stamp is None else stamp - self._stamp
            if step is not None and 0 < step <= min(LONG * self.interval, self.limit):
                yield self._believed(step)
            elif len(self._waiting) <= few:
                return
            else:
                yield from self._settled(step)

    def _settled(self, step: int | None) -> Iterator[tuple[int, T]]:
        """The first of those that wait, and what is stray with it."""
        self.bridged += 1
        if strays := self._strays(step):
            begin, far = self._tick, (self._waiting[strays][0] or 0) - self._stamp
            self.bridged += strays - 1
            for number in range(1, strays + 1):
                yield self._pass_on(max(begin + far * number // (strays + 1) - self._tick, 1))
        elif step is not None and 0 < step <= self.limit:
            self.bridged -= 1
            yield self._believed(step)
        else:
            stamp = self._waiting[0][0]
            picture = self._pass_on(self.interval)
            self._stamp = self._stamp if stamp is None else stamp
            yield picture

    def _strays(self, step: int | None) -> int:
        """How many of those that wait are stray: the one behind them follows the last that was passed on.

        Behind equal stamps that is any other, behind a step back or far forward one at about the usual rate.
        """
        first = self._waiting[0][0]
        for place, (stamp, _) in enumerate(islice(self._waiting, FEW + 1)):
            since = 0 if stamp is None else stamp - self._stamp
            if not (place and 0 < since <= self.limit):
                continue
            usual = (place + 1) * self.interval <= 2 * since
            goes_on = step is not None and 0 < step <= self.limit and stamp is not None and stamp > (first or 0)
            if not step or (usual and not goes_on):
                return place
        return 0

    def _believed(self, step: int) -> tuple[int, T]:
        self._steps.append(step)
        self._believing += 1
        if self._believing % 16 == 0 or self._believing < 16:
            self.interval = usual_interval(np.cumsum([0, *self._steps]), self.time_base)
        return self._pass_on(step)

    def _pass_on(self, step: int) -> tuple[int, T]:
        """The first that waits, so many ticks after the last."""
        self._tick += step
        self._stamp += step
        return self._tick, self._waiting.popleft()[1]
