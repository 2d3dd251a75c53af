"""Make items in a thread before they are asked for, and give up on a maker that hangs."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from queue import Empty, SimpleQueue
from threading import Event, Semaphore, Thread
from typing import TypeVar

T = TypeVar("T")


class Hung(Exception):
    """The maker gave no sign of life for too long. Its thread is left behind."""


class Pulse:
    """When a maker last gave a sign of life. patience: seconds that it may be silent; None for no limit."""

    def __init__(self, patience: float | None = None) -> None:
        self.patience, self._last = patience, time.monotonic()

    def beat(self) -> None:
        self._last = time.monotonic()

    def left(self, since: float) -> float | None:
        """Seconds of patience left for somebody who has been waiting since `since`; None for no limit."""
        return None if self.patience is None else max(self._last, since) + self.patience - time.monotonic()


def ahead(items: Generator[T, None, None], depth: int, pulse: Pulse | None = None) -> Generator[T, None, None]:
    """The same items, up to `depth` of them made ahead in a thread. Hung when the pulse stops while we wait."""
    pulse = pulse or Pulse()
    ready: SimpleQueue[tuple[T, ...] | BaseException] = SimpleQueue()
    room, stop = Semaphore(depth), Event()

    def make() -> None:
        with closing(items):
            while room.acquire() and not stop.is_set():
                try:
                    ready.put((next(items),))
                except BaseException as error:  # StopIteration too: it is passed on in its turn
                    ready.put(error)
                    return

    thread = Thread(target=make, daemon=True)
    thread.start()
    try:
        while not isinstance(item := _wait(ready, pulse), StopIteration):
            if isinstance(item, BaseException):
                raise item
            room.release()
            yield item[0]
    finally:
        stop.set()
        room.release()
        thread.join(pulse.left(time.monotonic()))


def patiently(items: Generator[T, None, None], pulse: Pulse) -> T:
    """The only item. Hung as in `ahead`."""
    with closing(ahead(items, 1, pulse)) as ready:
        return next(ready)


def _wait(ready: SimpleQueue[T], pulse: Pulse) -> T:
    since = time.monotonic()
    while True:
        left = pulse.left(since)
        try:
            return ready.get(timeout=None if left is None else max(left, 0))
        except Empty:
            if (left := pulse.left(since)) is not None and left <= 0:
                raise Hung from None
