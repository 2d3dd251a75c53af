"""When each frame of a video is on screen: by the video's own time stamps, or at a constant rate.

`stvr prepare --help` imports this, so the decoder is imported inside the function that uses it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from stvr.video.decode import VideoInfo


@dataclass(frozen=True, slots=True, eq=False)
class FrameTimes:
    """rate: frames a second, of all frames that no stamp tells of.

    edges (N + 1,): seconds at which the N frames of the video begin, and at which the last one ends; empty where the
    video is not at hand, so that the rate is taken to be constant.
    """

    rate: float
    edges: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    @property
    def constant(self) -> bool:
        return not len(self.edges)

    @property
    def first(self) -> float:
        """When the first picture is shown, in seconds."""
        return 0.0 if self.constant else float(self.edges[0])

    def seconds(self, frames: ArrayLike) -> NDArray[np.float64]:
        """When frames begin, counted from 0, of any shape; beyond the last one they follow at `rate`."""
        numbers = np.asarray(frames, np.float64)
        if self.constant:
            return numbers / self.rate
        last = len(self.edges) - 1
        inside = self.edges[np.clip(numbers, 0, last).astype(np.int64)]
        return inside + (numbers - np.clip(numbers, 0, last)) / self.rate

    def frames_between(self, start: float, stop: float) -> range:
        """All frames that may be on screen in [start, stop) seconds, at most one more at both ends.

        None beyond the last frame of a video that is at hand.
        """
        after = self._shown_at(stop) + 2
        return range(max(self._shown_at(start) - 1, 0), after if self.constant else min(after, len(self.edges) - 1))

    def _shown_at(self, seconds: float) -> int:
        """The frame on screen, as far as rounding lets it be known; -1 before the first."""
        last = 0.0 if self.constant else float(self.edges[-1])
        if seconds >= last:
            return max(len(self.edges) - 1, 0) + int((seconds - last) * self.rate)
        return int(np.searchsorted(self.edges, seconds, side="right")) - 1


def frame_times(info: VideoInfo) -> FrameTimes:
    """Of a video that was probed; seconds are those of its container's clock."""
    ticks = np.append(info.ticks, info.ticks[-1] + info.tail)
    seconds = float(info.offset) + ticks * info.time_base.numerator / info.time_base.denominator
    return FrameTimes(len(info.ticks) / float(info.duration), seconds)


def read_frame_times(path: Path) -> tuple[FrameTimes, tuple[int, int]]:
    """The times of a file's frames, and (width, height) of its picture in pixels. VideoError for what is no video."""
    from stvr.video.decode import probe

    info = probe(path)
    return frame_times(info), (info.width, info.height)
