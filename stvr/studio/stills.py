"""Pictures of videos at time stamps, decoded here: what the page shows when it is exact."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from stvr.video.decode import VideoError, probe
from stvr.video.encode import jpeg
from stvr.video.frame_times import frame_times
from stvr.video.pictures import Picture, frames, upright

AHEAD = 48  # frames: so far on, decoding goes on where it stood; beyond, it seeks
OPEN_DECODERS = 8
KNOWN_FILMS = 256  # whose time stamps are kept
KEPT_BYTES = 64 << 20  # of JPEGs
HAIR = 1e-6  # seconds


class Still(NamedTuple):
    """A JPEG, and from when to when its frame is on screen, in seconds of the container's clock."""

    jpeg: bytes
    seconds: float
    until: float


class Film:
    """One video file that is open for looking. Threads may share it: one decodes at a time."""

    def __init__(self, path: Path) -> None:
        self.info = probe(path)
        self.edges = frame_times(self.info).edges  # (N + 1,)
        self._frames: Iterator[tuple[int, Any]] | None = None
        self._picture: Picture | None = None
        self._index, self._lock = -1, Lock()

    @property
    def first(self) -> float:
        return float(self.edges[0])

    @property
    def last(self) -> float:
        """When the last frame ends."""
        return float(self.edges[-1])

    def index_at(self, seconds: float, step: int = 0) -> int:
        """The frame on screen, `step` frames on; the first or the last beyond the ends."""
        shown = int(np.searchsorted(self.edges, seconds + HAIR, side="right")) - 1
        return min(max(shown, 0) + step if shown + step > 0 else 0, len(self.edges) - 2)

    def picture(self, index: int) -> Picture:
        """RGB uint8 (H, W, 3) as displayed. VideoError where nothing can be decoded there."""
        with self._lock:
            if index != self._index:
                shown = self._decoded(index, going_on=self._index < index <= self._index + AHEAD)
                if shown is None:  # some files seek to where no key frame is: then from the start
                    shown = self._decoded(index, from_start=True)
                if shown is None:
                    self.close()
                    raise VideoError(f"{self.info.path.name}: nothing can be decoded at {self.edges[index]:.3f} s.")
                self._index, self._picture = index, upright(shown, self.info)
            assert self._picture is not None
            return self._picture

    def _decoded(self, index: int, *, going_on: bool = False, from_start: bool = False) -> Any:
        """The frame; where it is damaged, the last one before it, as players show it."""
        wanted = int(self.info.ticks[index])
        if not going_on or self._frames is None:
            self.close()
            self._frames = frames(self.info, 0.0 if from_start else float(wanted * self.info.time_base))
        shown = None
        for tick, frame in self._frames:
            if tick > wanted:
                break
            shown = frame
            if tick == wanted:
                return frame
        self.close()
        return shown

    def rest(self) -> None:
        """Lets go of the decoder, not of what is known, unless it is at work."""
        if self._frames is not None and self._lock.acquire(blocking=False):
            self.close()
            self._lock.release()

    def close(self) -> None:
        if self._frames is not None:
            self._frames.close()  # type: ignore[attr-defined]
        self._frames, self._index, self._picture = None, -1, None


class Stills:
    """Of many videos: the decoders used last, and JPEGs up to a number of bytes. Threads may share it."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._films, self._kept = OrderedDict[Path, Film](), OrderedDict[tuple[Path, int, int], bytes]()
        self._room, self._bytes, self._lock = kept_bytes, 0, Lock()

    def film(self, path: Path) -> Film:
        """VideoError for a file that is not a video."""
        with self._lock:
            film = self._films.get(path)
        film = film or Film(path)
        with self._lock:
            film = self._films.setdefault(path, film)
            self._films.move_to_end(path)
            unused = list(self._films.values())[:-OPEN_DECODERS]
            for _ in range(len(self._films) - KNOWN_FILMS):
                self._films.popitem(last=False)
        for each in unused:
            each.rest()
        return film

    def still(self, path: Path, seconds: float, step: int = 0, height: int = 720) -> Still:
        """The frame on screen at `seconds`, or some frames before or after it, at most `height` pixels high."""
        film = self.film(path)
        index = film.index_at(seconds, step)
        key = path, index, height
        with self._lock:
            data = self._kept.get(key)
        if data is None:
            data = jpeg(film.picture(index), height)
            self._keep(key, data)
        return Still(data, float(film.edges[index]), float(film.edges[index + 1]))

    def _keep(self, key: tuple[Path, int, int], data: bytes) -> None:
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = data
            self._bytes += len(data)
            while self._bytes > self._room:
                self._bytes -= len(self._kept.popitem(last=False)[1])
