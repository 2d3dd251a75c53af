"""Says on standard error how far an extraction is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta


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
    if not sys.stderr.isatty():
        yield _lines(every_seconds)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda step: bar.update(task, completed=step.fraction, description=str(step))


def _lines(every_seconds: float) -> Callable[[Step], None]:
    last = time.monotonic()

    def tell(step: Step) -> None:
        nonlocal last
        if time.monotonic() - last >= every_seconds:
            last = time.monotonic()
            print(f"{step.fraction:4.0%} {step}", file=sys.stderr, flush=True)

    return tell
