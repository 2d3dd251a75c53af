"""Tubelets as `stvr locate` writes them, one on each line, and as rows of a table for `stvr prepare`."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stvr.annotations.table import TABLE_COLUMNS
from stvr.files import whole, write_text
from stvr.structures import ClipSpec
from stvr.texts import read_text
from stvr.video_names import plain_name, short_names

CLIP = ClipSpec()  # how `stvr locate` cuts time: three clips a second
HAIR = 0.001  # seconds
DECIMALS = 2  # of coordinates in pixels, as `stvr locate` writes them


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """One tubelet of one video: clips [start, start + T), boxes (T, 4) xyxy in pixels of a picture width x height.

    offset: seconds from clip 0 on the clock's grid of clips to the video's own, less than a clip.
    label: what is done in it. person: who does it, by a name of its own in the video. Both "" where nobody says.
    """

    reference: str
    score: float
    width: int
    height: int
    start: int
    boxes: NDArray[np.float64]
    offset: float = 0.0
    label: str = ""
    person: str = ""

    def seconds_at(self, clip: int) -> float:
        """When a clip begins, in seconds of the container's clock."""
        return self.offset + CLIP.seconds_at(clip)

    @property
    def stop(self) -> int:
        return self.start + len(self.boxes)

    def to_json(self, rank: int) -> dict[str, Any]:
        """The object of one line of tubelets.jsonl; label and person only where they are known."""
        known = {name: text for name, text in (("label", self.label), ("person", self.person)) if text}
        return {
            "reference": self.reference, "rank": rank, "score": self.score, **known,
            "start_seconds": self.seconds_at(self.start), "stop_seconds": self.seconds_at(self.stop),
            "width": self.width, "height": self.height,
            "boxes": [{"seconds": self.seconds_at(clip), "box": [round(edge, DECIMALS) for edge in box]}
                      for clip, box in enumerate(self.boxes.tolist(), self.start)],
        }  # fmt: skip


def read_found(path: Path) -> list[Found]:
    """Reads tubelets.jsonl. ValueError, which names the line, for one that is not a tubelet."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder. Name the tubelets.jsonl in it.")
    found = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            try:
                found.append(from_json(json.loads(line)))
            except json.JSONDecodeError as error:
                reason = f"this line is not JSON: {error.msg}"
            except KeyError as error:
                reason = f"this line has no key {error}"
            except (ValueError, TypeError, AttributeError, OverflowError) as error:
                reason = str(error)
            else:
                continue
            raise ValueError(f"{path.name}, line {number}: wanted a tubelet as `stvr locate` writes it; {reason}.")
    return found


def from_json(line: dict[str, Any]) -> Found:
    if not isinstance(line, dict):
        raise ValueError(f"this line is a {type(line).__name__}, not an object")
    clips, offset = on_grid([float(each["seconds"]) for each in line["boxes"]])
    boxes = np.array([each["box"] for each in line["boxes"]], np.float64)
    if not clips or clips != list(range(clips[0], clips[0] + len(clips))) or clips[0] < 0:
        raise ValueError("its boxes are not one clip apart (a third of a second)")
    if boxes.shape != (len(clips), 4) or not np.isfinite(boxes).all():
        raise ValueError("a box is not four finite numbers")
    width, height, score = int(line["width"]), int(line["height"]), float(line["score"])
    if min(width, height) < 1 or not isfinite(score):
        raise ValueError(f"the picture is {width} x {height}, the score {score:g}")
    return Found(str(line["reference"]), score, width, height, clips[0], boxes, offset,
                 text_of(line.get("label")), text_of(line.get("person")))


def on_grid(seconds: Sequence[float]) -> tuple[list[int], float]:
    """The clips that begin at these times, and by how much they all begin later than a whole number of clips.

    A hair, as `stvr locate` and players round seconds, is nothing.
    """
    first = min(seconds, default=0.0)
    offset = first - CLIP.seconds_at(CLIP.index_at(first + HAIR))
    offset = offset if offset > HAIR else 0.0
    return [CLIP.index_at(each - offset + HAIR) for each in seconds], offset


def text_of(value: object) -> str:
    """What a file calls a label or a person; "" where it calls them nothing."""
    return "" if value is None else str(value).strip()


def best_of(found: Sequence[Found], count: int | None) -> list[Found]:
    """The `count` of the highest scores, or all, in their order."""
    ranked = sorted(range(len(found)), key=lambda place: -found[place].score)
    return [found[place] for place in sorted(ranked[:count])]


def write_found(path: Path, found: Iterable[Found]) -> int:
    """Writes tubelets.jsonl, best first, ranked within each reference. Returns how many."""
    ranks: dict[str, int] = {}
    lines = []
    for each in sorted(found, key=lambda one: -one.score):
        ranks[each.reference] = ranks.get(each.reference, 0) + 1
        lines.append(json.dumps(each.to_json(ranks[each.reference]), ensure_ascii=False) + "\n")
    write_text(path, "".join(lines))
    return len(lines)


def write_table(path: Path, found: Sequence[Found], label: str = "match") -> int:
    """Writes the table that `stvr prepare table` reads: a row for each clip, boxes in pixels and the picture's size.

    label: of the tubelets that have none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    videos, people = video_names(found), instances(found)
    with whole(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*TABLE_COLUMNS, "width", "height"])
        for person, each in zip(people, found, strict=True):
            for clip, box in enumerate(each.boxes.tolist(), each.start):
                writer.writerow([videos[each.reference], each.seconds_at(clip),
                                 *(round(edge, DECIMALS) for edge in box), person, each.label or label, each.width,
                                 each.height])
    return len(found)


def instances(found: Sequence[Found], labelled: bool = True) -> list[int]:
    """A number from 1 for whoever is in each tubelet: one for all tubelets of a person that can be told apart again.

    Those that meet cannot, unless they have other labels and the same boxes. labelled: whether the format has labels.
    """
    numbers: list[int] = []
    for each in found:
        same = [place for place, number in enumerate(numbers)
                if each.person and (found[place].reference, found[place].person) == (each.reference, each.person)]
        free = (numbers[place] for place in same
                if all(apart(each, found[other], labelled) for other in same if numbers[other] == numbers[place]))
        numbers.append(next(free, max(numbers, default=0) + 1))
    return numbers


def apart(one: Found, other: Found, labelled: bool) -> bool:
    """Whether two tubelets with one number are still two: a clip lies between, or labels differ and boxes do not."""
    if one.start > other.stop or other.start > one.stop:
        return True
    start, stop = max(one.start, other.start), min(one.stop, other.stop)
    same = (one.boxes[start - one.start : stop - one.start] == other.boxes[start - other.start : stop - other.start])
    return labelled and one.label != other.label and bool(same.all())


def video_names(found: Iterable[Found]) -> dict[str, str]:
    """By reference, how its video is called: as in `short_names`. ValueError where two would be called alike."""
    plain = {each.reference: plain_name(below(each.reference)) for each in found}
    if len(set(plain.values())) < len(plain):
        one, other = next((a, b) for a, b in combinations(plain, 2) if plain[a] == plain[b])
        raise ValueError(f"{one} and {other} would both be called {plain[one]!r}. Rename one, or export them apart.")
    short = short_names(plain.values())
    return {reference: short[name] for reference, name in plain.items()}


def below(reference: str) -> str:
    """A path without steps up, so that files named after it stay in their folder."""
    return os.path.abspath(reference) if ".." in Path(reference).parts else reference


def runs(numbers: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The indices (R,) of each run of consecutive numbers, from ascending numbers (N,)."""
    return np.split(np.arange(len(numbers)), np.flatnonzero(np.diff(numbers) != 1) + 1)


def by_video(found: Sequence[Found]) -> dict[str, list[Found]]:
    """The tubelets of each video, in their order."""
    groups: dict[str, list[Found]] = {}
    for each in found:
        groups.setdefault(each.reference, []).append(each)
    return groups
