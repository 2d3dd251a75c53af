"""Show on standard error how far an extraction is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from stvr import progress
from stvr.video.source import Source


@dataclass(frozen=True, slots=True)
class Step:
    """How far an extraction is: a video being extracted, clips computed so far, the share of all bytes done."""

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


@dataclass(frozen=True, slots=True)
class Progress:
    """Of one video: clips computed so far, clips in the store, clips in all."""

    computed: int
    there: int
    total: int


@contextmanager
def shown(every_seconds: float = 10.0) -> Iterator[Callable[[Step], None]]:
    """A bar on a terminal; elsewhere a plain line now and then."""
    with progress.shown(every_seconds) as tell:
        yield lambda step: tell(step.fraction, str(step))


def size_of(source: Source) -> int:
    """In bytes; 0 when there is no file."""
    if isinstance(source, Path):
        return source.stat().st_size if source.is_file() else 0
    return source.size


class Pace:
    """The time left, judged by bytes of video, which are known before anything is decoded. Several may be at work."""

    def __init__(self, paths: Mapping[str, Source]) -> None:
        self._sizes = {name: size_of(source) for name, source in paths.items()}
        self._start, self._finished = time.monotonic(), 0
        self._clips, self._done, self._worked = 0, 0.0, 0.0  # of the finished videos; the last two in bytes
        self._at_work: dict[str, Progress] = {}

    def step(self, video: str, progress: Progress) -> Step:
        """Notes the progress of one video; returns that of the whole extraction."""
        self._at_work[video] = progress
        seconds, at_work = time.monotonic() - self._start, self._at_work.items()
        done = self._done + sum(self._sizes[name] * each.there / each.total for name, each in at_work)
        worked = self._worked + sum(self._sizes[name] * each.computed / each.total for name, each in at_work)
        left = sum(self._sizes.values()) - done
        return Step(
            video=video,
            number=self._finished + 1,
            num_videos=len(self._sizes),
            clips=self._clips + sum(each.computed for _, each in at_work),
            fraction=1 - left / max(sum(self._sizes.values()), 1),
            seconds=seconds,
            seconds_left=seconds * left / max(worked, 1),
        )

    def leave(self, video: str, computed: int, total: int) -> None:
        """Notes that a video is finished. One that took no work does not count for the pace."""
        self._at_work.pop(video, None)
        self._done += self._sizes[video]
        self._worked += self._sizes[video] * computed / max(total, 1)
        self._clips += computed
        self._finished += 1
