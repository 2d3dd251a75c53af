"""AVA's CSV: one box a second, as fractions of the picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from stvr.annotations.ava import read_ava
from stvr.annotations.rows import EDGES
from stvr.render.exporters.account import Account
from stvr.render.exporters.records import CLIP, DECIMALS, Found, instances, runs, video_names

PER_SECOND = int(CLIP.clips_per_second)


def export_ava(found: Sequence[Found], account: Account, *, scores: bool = False) -> str:
    """`video,second,x1,y1,x2,y2,action_id,person_id`; with `scores`, the score in place of the person.

    A second gets the box of the clip in its middle; a tubelet over no such clip is left out. Labels are ids of actions.
    """
    names, lines, reached = video_names(found), [], set[str]()
    for person, each in zip(instances(found), found, strict=True):
        video, place = names[each.reference], f"{each.reference}, {each.seconds_at(each.start):g} s"
        if not each.label.isdecimal():
            raise ValueError(f"AVA's files hold ids of actions, not a name such as {each.label!r}. Give --label with a "
                             "number.")
        if "," in video:
            raise ValueError(f"AVA's files cannot name {video!r}: commas separate their columns. Rename the video.")
        last = f"{each.score:.6f}" if scores else str(person - 1)
        size = np.array([each.width, each.height] * 2)
        rows = [(second, (box / size).clip(0, 1)) for second, box in seconds_of(each)]
        if not rows:
            account.leave_out("tubelets", "they hold no middle of a second, where AVA has its boxes", place)
            continue
        reached.add(each.reference)
        for second, box in rows:
            edges = ",".join(f"{edge:.6f}" for edge in box)
            lines.append(f"{video},{second:04d},{edges},{each.label},{last}\n")
    if gone := [reference for reference in names if reference not in reached]:
        account.leave_out("videos", "none of their tubelets is left", gone[0], len(gone), gone)
    return "".join(lines)


def seconds_of(found: Found) -> Iterator[tuple[int, np.ndarray]]:
    """Each second whose middle lies in the tubelet, and the box there."""
    for second in range(int(found.seconds_at(found.start)), int(found.seconds_at(found.stop)) + 1):
        clip = CLIP.index_at(second + 0.5 - found.offset)
        if found.start <= clip < found.stop:
            yield second, found.boxes[clip - found.start]


def import_ava(path: Path, size: tuple[int, int]) -> list[Found]:
    """A tubelet for each run of seconds of a person and an action; all clips of a second get its box. Scores are 1."""
    found = []
    for (video, person, label), group in read_ava(path).table.groupby(["video", "person", "label"], sort=False):
        group = group.drop_duplicates("start").sort_values("start")
        seconds = group["start"].to_numpy()
        boxes = (group[EDGES].to_numpy(np.float64) * [*size, *size]).round(DECIMALS)
        for run in runs(seconds):
            found.append(Found(str(video), 1.0, *size, int(seconds[run[0]]) * PER_SECOND,
                               boxes[run].repeat(PER_SECOND, axis=0), label=str(label), person=str(person)))
    return found
