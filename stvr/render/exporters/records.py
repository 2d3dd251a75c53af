"""Tubelets as `stvr locate` writes them, one on each line, and as rows of a table for `stvr prepare`."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stvr.annotations.table import TABLE_COLUMNS
from stvr.files import whole, write_text
from stvr.structures import ClipSpec

CLIP = ClipSpec()  # how `stvr locate` cuts time: three clips a second
HAIR = 0.001  # seconds
DECIMALS = 2  # of coordinates in pixels, as `stvr locate` writes them


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """One tubelet of one video: clips [start, start + T), boxes (T, 4) xyxy in pixels of a picture width x height.

    offset: seconds from clip 0 on the clock's grid of clips to the video's own, less than a clip.
    """

    reference: str
    score: float
    width: int
    height: int
    start: int
    boxes: NDArray[np.float64]
    offset: float = 0.0

    def seconds_at(self, clip: int) -> float:
        """When a clip begins, in seconds of the container's clock."""
        return self.offset + CLIP.seconds_at(clip)

    @property
    def stop(self) -> int:
        return self.start + len(self.boxes)

    def to_json(self, rank: int) -> dict[str, Any]:
        """The object of one line of tubelets.jsonl."""
        return {
            "reference": self.reference, "rank": rank, "score": self.score,
            "start_seconds": self.seconds_at(self.start), "stop_seconds": self.seconds_at(self.stop),
            "width": self.width, "height": self.height,
            "boxes": [{"seconds": self.seconds_at(clip), "box": [round(edge, DECIMALS) for edge in box]}
                      for clip, box in enumerate(self.boxes.tolist(), self.start)],
        }  # fmt: skip


def read_found(path: Path) -> list[Found]:
    """Reads tubelets.jsonl. ValueError, which names the line, for one that is not a tubelet."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip():
            try:
                found.append(from_json(json.loads(line)))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"{path.name}, line {number}: wanted a tubelet as `stvr locate` writes it, got "
                                 f"{type(error).__name__}: {error}") from None
    return found


def from_json(line: dict[str, Any]) -> Found:
    clips, offset = on_grid([float(each["seconds"]) for each in line["boxes"]])
    boxes = np.array([each["box"] for each in line["boxes"]], np.float64)
    if not clips or clips != list(range(clips[0], clips[0] + len(clips))) or clips[0] < 0:
        raise ValueError("its boxes are not one clip apart (a third of a second)")
    if boxes.shape != (len(clips), 4) or not np.isfinite(boxes).all():
        raise ValueError("a box is not four finite numbers")
    width, height = int(line["width"]), int(line["height"])
    if min(width, height) < 1:
        raise ValueError(f"the picture is {width} x {height}")
    return Found(str(line["reference"]), float(line["score"]), width, height, clips[0], boxes, offset)


def on_grid(seconds: Sequence[float]) -> tuple[list[int], float]:
    """The clips that begin at these times, and by how much they all begin later than a whole number of clips.

    A hair, as `stvr locate` and players round seconds, is nothing.
    """
    first = min(seconds, default=0.0)
    offset = first - CLIP.seconds_at(CLIP.index_at(first + HAIR))
    offset = offset if offset > HAIR else 0.0
    return [CLIP.index_at(each - offset + HAIR) for each in seconds], offset


def write_found(path: Path, found: Iterable[Found]) -> int:
    """Writes tubelets.jsonl, best first, ranked within each reference. Returns how many."""
    ranks: dict[str, int] = {}
    lines = []
    for each in sorted(found, key=lambda one: -one.score):
        ranks[each.reference] = ranks.get(each.reference, 0) + 1
        lines.append(json.dumps(each.to_json(ranks[each.reference]), ensure_ascii=False) + "\n")
    write_text(path, "".join(lines))
    return len(lines)


def write_table(path: Path, found: Sequence[Found], label: str) -> int:
    """Writes the table that `stvr prepare table` reads: a row for each clip, boxes in pixels and the picture's size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*TABLE_COLUMNS, "width", "height"])
        for person, each in enumerate(found, start=1):
            for clip, box in enumerate(each.boxes.tolist(), each.start):
                writer.writerow([Path(each.reference).stem, each.seconds_at(clip),
                                 *(round(edge, DECIMALS) for edge in box), person, label, each.width, each.height])
    return len(found)


def runs(numbers: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The indices (R,) of each run of consecutive numbers, from ascending numbers (N,)."""
    return np.split(np.arange(len(numbers)), np.flatnonzero(np.diff(numbers) != 1) + 1)


def by_video(found: Sequence[Found]) -> dict[str, list[Found]]:
    """The tubelets of each video, in their order."""
    groups: dict[str, list[Found]] = {}
    for each in found:
        groups.setdefault(each.reference, []).append(each)
    return groups
