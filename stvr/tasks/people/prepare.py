"""From AVA's files to a file of people: its CSVs, its label map, its excluded timestamps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from stvr.annotations.ava import read_ava, read_excluded, read_label_map
from stvr.annotations.ava_detections import read_ava_boxes
from stvr.annotations.rows import EDGES, LeftOut, Rows
from stvr.labels import numbered
from stvr.tasks.people.file import Keyframe, Person, write_people

if TYPE_CHECKING:
    import pandas as pd


def prepare_people(
    files: Mapping[str, Sequence[Path]], labels: Path, out: Path, *, excluded: Sequence[Path] = (),
    offset_seconds: int = 0, at: float = 0.0,
) -> tuple[dict[str, int], list[LeftOut]]:  # fmt: skip
    """AVA's CSVs by split -> OUT. Returns how many keyframes each split has, and what was left out.

    labels: the classes that count, .pbtxt in either dialect. excluded: CSVs of keyframes that cannot be trusted.
    offset_seconds: 900 for videos that were cut to AVA's fifteen minutes. at: when in its second a box was drawn, 0 in
    AVA. Keyframes of files that train are kept where somebody is; of the others all that a file lists.
    Raises: ValueError for a fault in a file, and where no box is left.
    """
    if not 0 <= at < 1:
        raise ValueError(f"--at is a share of a second, from 0 to below 1, not {at:g}.")
    names = read_label_map(labels)
    distrusted = {moment for path in excluded for moment in read_excluded(path)}
    found: list[Keyframe] = []
    left_out: list[LeftOut] = []
    for split, paths in files.items():
        for path in paths:
            rows, gone = with_classes(read_ava(path, names=names, excluded=distrusted), names)
            people = people_of(rows.checked().boxes, names)
            left_out += [*rows.left_out, *gone]
            listed = list(people) if split == "train" else trusted(path, names, distrusted)
            found += [Keyframe(video, second, second - offset_seconds + at, split, people.get((video, second), ()))
                      for video, second in listed]
    early = [each for each in found if each.at < 0]
    if early:
        raise ValueError(f"second {early[0].second} of {early[0].video!r} is before the offset of {offset_seconds} s. "
                         "Leave --offset-seconds out for videos that were not cut.")
    if not any(each.people for each in found):
        raise ValueError(f"no box of a class of {labels.name} is left. Check the files.")
    twice = Counter((each.video, each.second) for each in found).most_common(1)[0]
    if twice[1] > 1:
        raise ValueError(f"second {twice[0][1]} of {twice[0][0]!r} is in two files. Name every file once.")
    write_people(out, found)
    return dict(Counter(each.split for each in found)), left_out


def with_classes(rows: Rows, names: Collection[int]) -> tuple[Rows, list[LeftOut]]:
    """The rows of these classes alone, and what that leaves out."""
    known = rows.table["label"].isin(list(names))
    others = rows.table[~known]
    gone = [LeftOut(len(others), "rows", "of classes that the label map does not name",
                    f"{rows.source}, line {others.iloc[0].line}")] if len(others) else []  # fmt: skip
    return replace(rows, table=rows.table[known]), gone


def people_of(boxes: pd.DataFrame, names: Mapping[int, str]) -> dict[tuple[str, int], tuple[Person, ...]]:
    """Everybody at each (video, second), from `Annotations.boxes`, in the order of videos and seconds."""
    found: dict[tuple[str, int], list[Person]] = {}
    ordered = boxes.sort_values(["video", "start", "person"], kind="stable")
    for video, person, start, labels, *box in ordered[["video", "person", "start", "labels", *EDGES]].itertuples(
            index=False, name=None):  # fmt: skip
        x1, y1, x2, y2 = map(float, box)
        shown = tuple(numbered(label, names[label]) for label in labels)
        found.setdefault((video, int(start)), []).append(Person(str(person), (x1, y1, x2, y2), shown))
    return {moment: tuple(people) for moment, people in found.items()}


def trusted(path: Path, names: Mapping[int, str], distrusted: Collection[tuple[str, int]]) -> list[tuple[str, int]]:
    """The keyframes that a file lists, those included where nobody is, but not those that cannot be trusted."""
    return [moment for moment in read_ava_boxes(path, names).listed if moment not in distrusted]
