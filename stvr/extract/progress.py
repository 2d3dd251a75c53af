"""Says on standard error how far an extraction is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from stvr import progress


@dataclass(frozen=True, slots=True)
class Step:
    """How far an extraction is: the video at work, clips computed so far, which share of all bytes is done."""

    video: str
    number: int
    num_videos: int
    clips: int
    fraction: float
    seconds: float
    seconds_left: float

    def __str__(self) -> str:
        rate, left = self.clips / max(self.seconds, 1e-9), timedelta(seconds=round(self.seconds_left))
        return f"{self.number}/{self.num_videos} {self.video}  {self.clips} clips  {rate:.1f} clips/s  {left} left"


@contextmanager
def shown(every_seconds: float = 10.0) -> Iterator[Callable[[Step], None]]:
    """A bar on a terminal; elsewhere a plain line now and then."""
    with progress.shown(every_seconds) as tell:
        yield lambda step: tell(step.fraction, str(step))
