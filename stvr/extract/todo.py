"""The videos that are still to be extracted, and what became of those that were tried."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from stvr.video.source import Source

AGAIN_SECONDS = 1.0  # how long to wait before trying a video again that another run was writing


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one video: clips computed now, clips that were in the store before, whether there was nothing to do.

    doubt: what is wrong with the file, though the video is in the store now. mixed: which of its shards have other last
    bits. failed: why the video is not there.
    claimed: it failed because another run is writing it. hung: because the decoder hangs, and still has its thread.
    """

    computed: int = 0
    reused: int = 0
    skipped: bool = False
    doubt: str = ""
    mixed: str = ""
    failed: str = ""
    claimed: bool = False
    hung: bool = False


class Todo:
    """Hands out videos one at a time. One that another run holds comes back after all the others."""

    def __init__(self, paths: Mapping[str, Source]) -> None:
        self.paths = dict(paths)
        self._due: deque[tuple[str, float]] = deque((name, 0.0) for name in paths)

    def __len__(self) -> int:
        return len(self._due)

    def take(self) -> str | None:
        """The next video; None when there is none, or none that is due yet."""
        if not self._due or self._due[0][1] > time.monotonic():
            return None
        return self._due.popleft()[0]

    def pause(self) -> float:
        """Seconds until the next is due."""
        return max(self._due[0][1] - time.monotonic(), 0.0) if self._due else 0.0

    def again(self, video: str) -> None:
        """Puts a video whose worker died at the front."""
        self._due.appendleft((video, 0.0))

    def later(self, video: str) -> None:
        """Puts a video that another run holds at the end."""
        self._due.append((video, time.monotonic() + AGAIN_SECONDS))
