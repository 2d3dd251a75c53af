"""A live source over all its breaks: read in a thread of its own, opened again after a while when it stops."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Any

from stvr.structures import FeatureSpec
from stvr.video.live import End, LiveFacts, Stretch, is_address, opened_live
from stvr.video.packets import VideoError
from stvr.video.reading import Clip

AHEAD = 4  # clips that may be decoded before they are asked for
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0  # seconds before a source is opened again, twice as many each time
NEAR_SECONDS = 60  # by which a stream's own clock may differ from this machine's over a break and be believed
SLOW_SHARE, SLOW_SECONDS = 0.1, 60.0  # of the last minute that the source had to wait, from which on it is said

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Part:
    """What one connection sent. offset_seconds: of its first clip, on the source's clock, which goes on over breaks.

    clips: to be read to their end before the next part is asked for; `end` is known then.
    """

    number: int
    facts: LiveFacts
    offset_seconds: float
    clips: Iterator[Clip]
    end: End


class LiveSource:
    """Standard input, a pipe or an address. Close it, or leave its `with`, to stop the thread.

    give_up_seconds: without a clip, after which an address is not tried again. first_wait: before it is tried again.
    say: is told, in a line, of breaks and of how they ended.
    """

    def __init__(
        self, name: str, spec: FeatureSpec, say: Say, give_up_seconds: float = 300.0, first_wait: float = FIRST_WAIT
    ) -> None:
        self.name, self.spec, self.say = name, spec, say
        self.give_up_seconds, self.first_wait = give_up_seconds, first_wait
        self.gave_up = False
        self._queue: Queue[Any] = Queue(AHEAD)
        self._stopped = Event()
        self._blocked = Blocked(say if is_address(name) else lambda line: None)

    def __enter__(self) -> LiveSource:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self._stopped.set()

    def parts(self) -> Iterator[Part]:
        """VideoError where it cannot be opened the first time."""
        Thread(target=self._produce, daemon=True, name="decoding").start()
        while (item := self._next()) is not None:
            facts, offset, number, end = item
            yield Part(number, facts, offset, self._clips(), end)

    def _clips(self) -> Iterator[Clip]:
        while isinstance(item := self._next(), Clip):
            yield item

    def _next(self) -> Any:
        """Waits in short steps, so that Ctrl-C is heard."""
        while not self._stopped.is_set():
            try:
                item = self._queue.get(timeout=0.2)
            except Empty:
                continue
            if isinstance(item, BaseException):
                raise item
            return item
        return None

    def _produce(self) -> None:
        try:
            self._read_all()
        except BaseException as error:  # for the thread that asks
            self._put(error)
        else:
            self._put(None)

    def _read_all(self) -> None:
        clock, wait, alive = Clock(), self.first_wait, time.monotonic()
        while not self._stopped.is_set():
            end = whole = None
            try:
                with opened_live(self.name) as (container, stream):
                    stretch = Stretch(self.name, container, stream, self.spec)
                    end, whole = stretch.end, stretch.facts.whole
                    self._put((stretch.facts, clock.offset(stretch.facts), clock.parts - 1, end))
                    try:
                        with closing(stretch.clips()) as clips:
                            for clip in clips:
                                self._put(clip)
                                clock.goes_on(end)
                                wait = self.first_wait
                    finally:
                        self._put(End)
                        if end.seconds:  # not before: who asks may be slow, and that is no silence of the source
                            alive = time.monotonic()
            except VideoError as error:
                if not clock.parts or not is_address(self.name):
                    raise
                why = str(error)
            else:
                why = end.error or "the sender ended it"
                if not is_address(self.name) or (whole and not end.error):
                    return
            if time.monotonic() - alive > self.give_up_seconds:
                self.gave_up = True
                return self.say(f"{self.name} sent nothing for {self.give_up_seconds:g} s; given up ({why})")
            self.say(f"{self.name} stopped ({why}); opening it again in {wait:g} s")
            self._stopped.wait(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    def _put(self, item: Any) -> None:
        begun = time.monotonic()
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=0.2)
                return self._blocked.add(time.monotonic() - begun)
            except Full:
                continue


class Clock:
    """One clock for all parts: the stream's own where it goes on over a break, else this machine's."""

    def __init__(self) -> None:
        self.parts = 0
        self._before: LiveFacts | None = None
        self._offset, self._seconds, self._heard = Fraction(0), Fraction(0), 0.0

    def offset(self, facts: LiveFacts) -> float:
        """Of the next part, in seconds."""
        if self._before is None:
            offset = max(Fraction(round((facts.begins - facts.opened) * 1_000_000), 1_000_000), Fraction(0))
        else:
            elapsed = Fraction(time.monotonic() - self._heard)
            own = facts.begins - self._before.begins - self._seconds  # what the stream says that the break lasted
            goes_on = -1 <= own <= elapsed + NEAR_SECONDS
            offset = self._offset + self._seconds + (own if goes_on else elapsed)
        self._before, self._offset, self._seconds, self._heard = facts, offset, Fraction(0), time.monotonic()
        self.parts += 1
        return float(offset)

    def goes_on(self, end: End) -> None:
        self._seconds, self._heard = Fraction(end.seconds), time.monotonic()


class Blocked:
    """Says so, once a minute, when a source that does not wait has to: then this machine is too slow for it."""

    def __init__(self, say: Say) -> None:
        self.say, self._seconds, self._since = say, 0.0, time.monotonic()

    def add(self, seconds: float) -> None:
        self._seconds += seconds
        elapsed = time.monotonic() - self._since
        if elapsed >= SLOW_SECONDS:
            if self._seconds > SLOW_SHARE * elapsed:
                self.say(f"this machine is slower than the source, which had to wait for {self._seconds:.0f} of the "
                         f"last {elapsed:.0f} s; what is told comes later and later")
            self._seconds, self._since = 0.0, time.monotonic()
