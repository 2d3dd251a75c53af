"""AVA's CSV: one box a second, as fractions of the picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from stvr.annotations.ava import read_ava
from stvr.annotations.rows import EDGES
from stvr.render.exporters.records import CLIP, DECIMALS, Found, runs

PER_SECOND = int(CLIP.clips_per_second)


def export_ava(found: Sequence[Found], label: str, *, scores: bool = False) -> str:
    """`video,second,x1,y1,x2,y2,action_id,person_id`; with `scores`, the score in place of the person.

    A second gets the box of the clip in its middle. label: the id of the action.
    """
    if not label.isdecimal():
        raise ValueError(f"AVA's files hold ids of actions, not a name such as {label!r}. Give --label with a number.")
    lines = []
    for person, each in enumerate(found):
        video = Path(each.reference).stem
        if "," in video:
            raise ValueError(f"AVA's files cannot name {video!r}: commas separate their columns. Rename the video.")
        last = f"{each.score:.6f}" if scores else str(person)
        size = np.array([each.width, each.height] * 2)
        for second, box in seconds_of(each):
            edges = ",".join(f"{edge:.6f}" for edge in (box / size).clip(0, 1))
            lines.append(f"{video},{second:04d},{edges},{label},{last}\n")
    return "".join(lines)


def seconds_of(found: Found) -> Iterator[tuple[int, np.ndarray]]:
    """Each second whose middle lies in the tubelet, and the box there."""
    for clip in range(found.start, found.stop):
        if clip % PER_SECOND == PER_SECOND // 2:
            yield clip // PER_SECOND, found.boxes[clip - found.start]


def import_ava(path: Path, size: tuple[int, int]) -> list[Found]:
    """A tubelet for each run of seconds of a person; all clips of a second get its box. Scores are 1."""
    found = []
    rows = read_ava(path).table.drop_duplicates(["video", "person", "start"])
    for (video, _), group in rows.groupby(["video", "person"], sort=False):
        group = group.sort_values("start")
        seconds = group["start"].to_numpy()
        boxes = (group[EDGES].to_numpy(np.float64) * [*size, *size]).round(DECIMALS)
        for run in runs(seconds):
            found.append(Found(str(video), 1.0, *size, int(seconds[run[0]]) * PER_SECOND,
                               boxes[run].repeat(PER_SECOND, axis=0)))
    return found
