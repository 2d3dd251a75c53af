"""How far an extraction is, on standard error."""

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
    """How far an extraction is: a video at work, clips computed so far, which share of all bytes is done."""

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
    """Of one video: clips computed so far, clips that are there, clips it has."""

    computed: int
    there: int
    total: int


@contextmanager
def shown(every_seconds: float = 10.0) -> Iterator[Callable[[Step], None]]:
    """A bar on a terminal; elsewhere a plain line now and then."""
    with progress.shown(every_seconds) as tell:
        yield lambda step: tell(step.fraction, str(step))


def size_of(source: Source) -> int:
    """In bytes; 0 where there is no file."""
    if isinstance(source, Path):
        return source.stat().st_size if source.is_file() else 0
    return source.size


class Pace:
    """How long is left, judged by bytes of video: they are known before anything is decoded. Several may be at work."""

    def __init__(self, paths: Mapping[str, Source]) -> None:
        self._sizes = {name: size_of(source) for name, source in paths.items()}
        self._begun, self._left = time.monotonic(), 0
        self._clips, self._done, self._worked = 0, 0.0, 0.0  # of the videos that are finished, bytes
        self._at_work: dict[str, Progress] = {}

    def step(self, video: str, progress: Progress) -> Step:
        """A video has come so far."""
        self._at_work[video] = progress
        seconds, at_work = time.monotonic() - self._begun, self._at_work.items()
        done = self._done + sum(self._sizes[name] * each.there / each.total for name, each in at_work)
        worked = self._worked + sum(self._sizes[name] * each.computed / each.total for name, each in at_work)
        left = sum(self._sizes.values()) - done
        return Step(
            video=video,
            number=self._left + 1,
            num_videos=len(self._sizes),
            clips=self._clips + sum(each.computed for _, each in at_work),
            fraction=1 - left / max(sum(self._sizes.values()), 1),
            seconds=seconds,
            seconds_left=seconds * left / max(worked, 1),
        )

    def leave(self, video: str, computed: int, total: int) -> None:
        """A video is finished; one that took no work says nothing of the pace."""
        self._at_work.pop(video, None)
        self._done += self._sizes[video]
        self._worked += self._sizes[video] * computed / max(total, 1)
        self._clips += computed
        self._left += 1
