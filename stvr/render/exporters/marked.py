"""The boxes that a file of another tool gives of one video, checked, and sorted into tracks by who they show."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from stvr.render.exporters.account import Account
from stvr.render.exporters.at_hand import Size, Videos, times_of
from stvr.render.exporters.records import Found
from stvr.render.exporters.tracks import found_of
from stvr.tubelets.unnamed import number_tracks

NOTHING_LEFT = "no box of a person is left"
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Mark:
    """A box as a file has it: frame from 0, xyxy in pixels, person and label ("" where it has none), place in it."""

    frame: int
    box: Box
    person: str
    label: str
    score: float
    place: str


def found_in(reference: str, marks: Sequence[Mark], size: Size | None, rate: float | None, videos: Videos,
             account: Account, source: str) -> list[Found]:
    """The tubelets of a video. size: as the file or the user says; None: as the video does.

    source: how messages call the file. Raises ValueError, with the place in the file, for a box that is none and for
    two boxes of one person in one frame.
    """
    gone = f"{reference} in {source}"
    if not marks:
        account.leave_out("videos", NOTHING_LEFT, gone, videos=[reference])
        return []
    times, own_size = times_of(reference, rate, videos, account)
    size = size or own_size
    if size is None:
        raise ValueError(f"nothing says how large the picture of {reference} is. Give --size WIDTHxHEIGHT, or "
                         "--videos.")
    marks = with_people(inside(marks, size, account, source), reference, account)
    if not marks:
        account.leave_out("videos", NOTHING_LEFT, gone, videos=[reference])
    found = []
    for (person, label), group in tracks_of(marks).items():
        boxes = np.array([mark.box for mark in group], np.float64)
        found += found_of(reference, size, [mark.frame for mark in group], boxes, [mark.score for mark in group],
                          times, label=label, person=person)
    return found


def inside(marks: Sequence[Mark], size: Size, account: Account, source: str) -> list[Mark]:
    """The marks that show something of the picture; ValueError for a box that is none."""
    kept = []
    for mark in marks:
        x1, y1, x2, y2 = mark.box
        if not np.isfinite((*mark.box, mark.score)).all() or x2 <= x1 or y2 <= y1:
            raise ValueError(f"{mark.place}: the box is {x2 - x1:g} wide and {y2 - y1:g} high, wanted finite numbers "
                             "above 0.")
        if mark.frame < 0:
            raise ValueError(f"{mark.place}: the frame is {mark.frame}, before the first one.")
        if x2 <= 0 or y2 <= 0 or x1 >= size[0] or y1 >= size[1]:
            account.leave_out("boxes", "they lie outside the picture", f"{source}, {mark.place}")
        else:
            kept.append(mark)
    return kept


def with_people(marks: Sequence[Mark], reference: str, account: Account) -> list[Mark]:
    """Everybody named: ids that are counted anew for each label told apart, boxes without an id linked."""
    if counted_by_label(marks):
        account.say(reference, "ids are counted for each label, so a person is a label and an id")
        marks = [replace(mark, person=f"{mark.label} {mark.person}") if mark.person else mark for mark in marks]
    unnamed = [index for index, mark in enumerate(marks) if not mark.person]
    if not unnamed:
        return list(marks)
    named, taken, number = list(marks), {mark.person for mark in marks}, 0
    for label in dict.fromkeys(marks[index].label for index in unnamed):
        places = [index for index in unnamed if marks[index].label == label]
        tracks = number_tracks([marks[index].frame for index in places], [marks[index].box for index in places])
        called: dict[int, str] = {}
        for index, track in zip(places, tracks.tolist(), strict=True):
            while track not in called:
                number += 1
                if str(number) not in taken:
                    called[track] = str(number)
            named[index] = replace(marks[index], person=called[track])
    people = len({named[index].person for index in unnamed})
    account.say(f"{reference} ({len(unnamed)} boxes, {people} people)",
                "boxes that do not say whose they are; linked by where they lie")
    return named


def counted_by_label(marks: Sequence[Mark]) -> bool:
    """Whether one id has different boxes of different labels in one frame, somewhere."""
    boxes: dict[tuple[int, str], Mark] = {}
    for mark in marks:
        other = boxes.setdefault((mark.frame, mark.person), mark)
        if mark.person and other.label != mark.label and other.box != mark.box:
            return True
    return False


def tracks_of(marks: Sequence[Mark]) -> dict[tuple[str, str], list[Mark]]:
    """By person and label; ValueError where one person has two boxes in one frame."""
    tracks: defaultdict[tuple[str, str], list[Mark]] = defaultdict(list)
    seen: dict[tuple[int, str, str], Mark] = {}
    for mark in marks:
        other = seen.setdefault((mark.frame, mark.person, mark.label), mark)
        if other is not mark:
            raise ValueError(f"{mark.place}: {mark.person!r} already has a box in this frame ({other.place}). Give "
                             "one box for each id and frame.")
        tracks[mark.person, mark.label].append(mark)
    return dict(tracks)
