"""Detections of people as AVA's CSV has them: `video,second,x1,y1,x2,y2,class id,score`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from stvr.annotations.ava_detections import Entry
from stvr.labels import number_and_name
from stvr.structures import Detections

DIGITS = 4  # significant ones, as STEP writes them


@dataclass(frozen=True, slots=True)
class Row:
    """One box of one class at a keyframe. box: x1, y1, x2, y2 in [0, 1]; both as they are written."""

    video: str
    second: int
    box: tuple[float, float, float, float]
    number: int
    score: float

    @property
    def entry(self) -> Entry:
        """As AVA's evaluators compare rows."""
        x1, y1, x2, y2 = self.box
        return self.score, float(self.number), y1, x1, y2, x2

    def scored(self, score: float) -> Row:
        return replace(self, score=score)


def rows_of(video: str, second: int, detections: Detections, classes: Sequence[str]) -> list[Row]:
    """The rows of one keyframe. classes: of a head, such as "12: stand", which the labels count from 0."""
    numbers = [number_and_name(name)[0] for name in classes]
    return [
        Row(video, second, (rounded(x1), rounded(y1), rounded(x2), rounded(y2)), numbers[label], rounded(score))
        for (x1, y1, x2, y2), label, score in zip(
            detections.boxes.tolist(), detections.labels.tolist(), detections.scores.tolist(), strict=True)
    ]


def rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def as_text(rows: Iterable[Row]) -> str:
    """AVA's CSV, without a header."""
    return "".join(f"{row.video},{row.second:04d},{','.join(f'{edge:g}' for edge in row.box)},{row.number},"
                   f"{row.score:g}\n" for row in rows)  # fmt: skip
