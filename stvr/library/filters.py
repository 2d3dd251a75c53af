"""Which videos, when in them, and where in the picture: what of a library may be an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stvr.library.index import IndexedVideo, Rows
from stvr.structures import ClipSpec, Span, Tubelet

SHOWN = 5  # names of a library that a message shows


@dataclass(frozen=True, slots=True)
class Filters:
    """folder: videos that lie in it or below. between: seconds on a video's clock that an answer shares. region:
    x1, y1, x2, y2 in pixels, or all in [0, 1] as shares of the picture: where the middle of an answer lies. without:
    names or paths of videos that are left out.

    None lets everything through. ValueError for what can hold nothing.
    """

    folder: str | None = None
    between: tuple[float, float] | None = None
    region: tuple[float, float, float, float] | None = None
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.between is not None and not self.between[0] < self.between[1]:
            raise ValueError(f"between {self.between[0]:g} and {self.between[1]:g} s there is no time. Give T0,T1 with "
                             "T0 < T1.")
        if self.region is not None:
            x1, y1, x2, y2 = self.region
            if not (all(map(isfinite, self.region)) and x1 < x2 and y1 < y2):
                raise ValueError(f"the region {','.join(f'{edge:g}' for edge in self.region)} has no area. Give "
                                 "X1,Y1,X2,Y2 with X1 < X2 and Y1 < Y2.")

    def videos(self, every: Sequence[IndexedVideo]) -> NDArray[np.bool_]:
        """Those that may hold an answer. LookupError where the folder or a name holds none."""
        inside = np.array([self.folder is None or lies_in(each, self.folder) for each in every], bool)
        if self.folder is not None and not inside.any():
            raise LookupError(f"no video of the index lies in {self.folder}. Leave the folder out, or name another.")
        for name in self.without:
            named = np.array([is_called(each, name) for each in every], bool)
            if not named.any():
                raise LookupError(f"there is no {name} in the index to leave out. Its names are {some_names(every)}.")
            inside &= ~named
        return inside & np.array([self.overlaps(each, 0.0, each.seconds) for each in every], bool)

    def rows(self, rows: Rows, videos: Sequence[IndexedVideo], clip: ClipSpec) -> NDArray[np.bool_]:
        """The rows (N,) of an index that tell of what may be an answer."""
        kept = self.videos(videos)[rows.video]
        if self.between is not None:
            begin = np.array([each.offset_seconds for each in videos])[rows.video]
            seconds = clip.seconds_at(1)
            kept &= (begin + seconds * rows.start < self.between[1]) & (begin + seconds * rows.stop > self.between[0])
        if self.region is not None:
            x1, y1, x2, y2 = np.array([self.shares(each) for each in videos]).reshape(-1, 4)[rows.video].T
            kept &= (rows.box[:, 0] < x2) & (rows.box[:, 2] > x1) & (rows.box[:, 1] < y2) & (rows.box[:, 3] > y1)
        return kept

    def keeps(self, tubelet: Tubelet, video: IndexedVideo, clip: ClipSpec) -> bool:
        """Whether a tubelet of a video is an answer."""
        if not self.overlaps(video, *seconds_of(tubelet.span, clip)):
            return False
        if self.region is None:
            return True
        x1, y1, x2, y2 = tubelet.boxes.double().mean(0).tolist()
        left, top, right, bottom = self.shares(video)
        return left <= (x1 + x2) / 2 <= right and top <= (y1 + y2) / 2 <= bottom

    def overlaps(self, video: IndexedVideo, begin: float, end: float) -> bool:
        """Whether seconds from the video's first picture on are among those asked for."""
        if self.between is None:
            return True
        return video.offset_seconds + begin < self.between[1] and video.offset_seconds + end > self.between[0]

    def shares(self, video: IndexedVideo) -> tuple[float, float, float, float]:
        """The region as shares of a video's picture."""
        assert self.region is not None
        x1, y1, x2, y2 = self.region
        if max(self.region) <= 1:
            return x1, y1, x2, y2
        return x1 / video.width, y1 / video.height, x2 / video.width, y2 / video.height


def seconds_of(span: Span, clip: ClipSpec) -> tuple[float, float]:
    """From the first picture of the video on."""
    return clip.seconds_at(span.start), clip.seconds_at(span.stop)


def lies_in(video: IndexedVideo, folder: str) -> bool:
    """By where its file lies, or by its name."""
    inside = folder.rstrip("/") + "/"
    if video.name.startswith(inside) or video.path.startswith(inside):
        return True
    path = Path(video.path)
    return path.is_absolute() and path.resolve().is_relative_to(Path(folder).resolve())


def is_called(video: IndexedVideo, name: str) -> bool:
    """By its name, or by where its file lies."""
    if name in (video.name, video.path):
        return True
    path = Path(video.path)
    return path.is_absolute() and path.resolve() == Path(name).resolve()


def some_names(videos: Sequence[IndexedVideo]) -> str:
    """The first few, to show what names look like."""
    more = f" and {len(videos) - SHOWN} more (`stvr info`)" if len(videos) > SHOWN else ""
    return ", ".join(each.name for each in videos[:SHOWN]) + more
