"""An answer from a library: a tubelet, which video it is of, and when on that video's clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stvr.library.index import IndexedVideo
from stvr.session import Answer
from stvr.structures import ClipSpec, Tubelet


@dataclass(frozen=True, slots=True, eq=False)
class Hit:
    """A tubelet of a library that does what a query shows.

    video: its name in the library. path: of its file, or its name where there is none. begin, end: seconds on the
    video's clock. score: in [0, 1]. false_alarm: how often a question whose action the library does not hold is
    answered with a score as high, in [0, 1]; None where that was not asked for.
    """

    video: str
    path: str
    tubelet: Tubelet
    begin: float
    end: float
    score: float
    false_alarm: float | None = None


def hit_of(tubelet: Tubelet, video: IndexedVideo, clip: ClipSpec) -> Hit:
    begin = video.offset_seconds + clip.seconds_at(tubelet.span.start)
    end = video.offset_seconds + min(clip.seconds_at(tubelet.span.stop), video.seconds)
    return Hit(video.name, video.path, tubelet, begin, end, tubelet.score)


def best_of_all(hits: Mapping[int, Sequence[Hit]], top: int | None) -> list[Hit]:
    """Hits by the number of their video -> the best, as `stvr locate` ranks what it writes."""
    every = [hit for _, found in sorted(hits.items()) for hit in sorted(found, key=lambda each: -each.score)]
    return sorted(every, key=lambda each: -round(each.score, 6))[:top]


def as_lines(hits: Sequence[Hit], videos: Mapping[str, IndexedVideo], clip: ClipSpec) -> Iterator[dict[str, Any]]:
    """A JSON object each, as `stvr locate` writes them; false_alarm beside the score where it is known."""
    ranks = Counter[str]()
    for hit in hits:
        video = videos[hit.video]
        ranks[hit.video] += 1
        answer = Answer(Path(hit.path), clip, video.width, video.height, video.seconds, [hit.tubelet],
                        video.offset_seconds)  # fmt: skip
        known = {} if hit.false_alarm is None else {"false_alarm": round(hit.false_alarm, 6)}
        for line in answer.to_json():
            yield {**line, "reference": hit.path, "rank": ranks[hit.video], **known}
