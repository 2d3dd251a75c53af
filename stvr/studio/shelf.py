"""What the studio asks of a library: its videos, and a search by examples in seconds and shares of the picture."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Protocol

from stvr.library import Hit
from stvr.session.examples import QUERY_SECONDS, Track
from stvr.structures import ClipSpec, Query
from stvr.tubelets import tube_iou

KEPT_QUERIES = 64
SAME = 0.5  # tube IoU from which two answers of one video are the same one
LIKED_SECONDS = 2.0  # of an answer that becomes an example: the middle of it

Box = tuple[float, float, float, float]  # xyxy in [0, 1] of the picture as displayed


@dataclass(frozen=True, slots=True)
class TrackedExample:
    """What a person boxed, or a thumb up or down: a box along a track of a video.

    at: seconds of the container's clock, and so are start, stop and the track's. track: at least one (seconds, box), in
    order; between them the box moves on straight lines, before and after it stands still.
    """

    path: Path
    at: float
    track: tuple[tuple[float, Box], ...]
    start: float | None = None
    stop: float | None = None

    @property
    def span(self) -> tuple[float, float] | None:
        return None if self.start is None or self.stop is None else (self.start, self.stop)

    @property
    def asked(self) -> tuple[Path, Track, float, tuple[float, float] | None]:
        """As `Session.query` takes it."""
        return self.path, self.track, self.at, self.span


@dataclass(frozen=True, slots=True)
class ShelfVideo:
    """name: unique in the library. seconds: None where only opening the file would tell. doubt: "" or one line."""

    name: str
    path: Path
    seconds: float | None = None
    doubt: str = ""


Report = Callable[[float, float, Sequence[Hit]], None]  # done, total, the answers so far, best first


class Cancelled(Exception):
    """The search was given up."""


class Shelf(Protocol):
    """A library that can be asked. Several threads may search at once."""

    title: str

    @property
    def clip(self) -> ClipSpec: ...
    @property
    def videos(self) -> Sequence[ShelfVideo]: ...

    def search(
        self, like: Sequence[TrackedExample], unlike: Sequence[TrackedExample], top: int, report: Report,
        cancelled: Callable[[], bool],
    ) -> tuple[list[Hit], dict[str, str]]:
        """The best `top` answers, best first, and by name why videos could not be asked. Cancelled when given up.

        unlike: what is shown in them lowers what does the same. ValueError, one line, for an example that does not fit.
        """


class PooledOnce:
    """Queries by their examples: the latest are kept, so that a search that is refined begins at matching."""

    def __init__(self, pool: Callable[[TrackedExample], Query]) -> None:
        self._pool, self._kept, self._lock = pool, OrderedDict[TrackedExample, Query](), Lock()

    def __call__(self, example: TrackedExample) -> Query:
        with self._lock:
            query = self._kept.get(example)
        if query is None:
            query = self._pool(example)
            with self._lock:
                self._kept[example] = query
                while len(self._kept) > KEPT_QUERIES:
                    self._kept.popitem(last=False)
        return query


def example_of(answer: Hit, clip: ClipSpec) -> TrackedExample:
    """An answer as an example: the middle seconds of its tubelet, as they are boxed."""
    span, offset = answer.tubelet.span, answer.begin - clip.seconds_at(answer.tubelet.span.start)
    middles = [offset + clip.middle_of(number) for number in range(span.start, span.stop)]
    track = tuple((at, as_box(box)) for at, box in zip(middles, answer.tubelet.boxes.tolist(), strict=True))
    at = (answer.begin + answer.end) / 2
    half = LIKED_SECONDS / 2
    return TrackedExample(Path(answer.path), at, track, max(answer.begin, at - half), min(answer.end, at + half))


def same(one: Hit, other: Hit) -> bool:
    """Whether two answers, of one search or of two, show the same."""
    return one.path == other.path and tube_iou(one.tubelet, other.tubelet) >= SAME


def as_box(edges: Sequence[float]) -> Box:
    """Four numbers as a box inside the picture."""
    left, top, right, bottom = (min(max(float(edge), 0.0), 1.0) for edge in edges)
    return left, top, right, bottom


def second_around(at: float, first: float, last: float) -> tuple[float, float]:
    """The span of an example that has none: from when to when, inside the video."""
    return max(first, at - QUERY_SECONDS / 2), min(last, at + QUERY_SECONDS / 2)
