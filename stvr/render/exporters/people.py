"""Tubelets of several files of one video: people apart by file, joined where their boxes agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from stvr.annotations.people import line_about
from stvr.render.exporters.account import Account
from stvr.render.exporters.records import Found, runs
from stvr.render.exporters.tracks import mean_of
from stvr.tubelets.same_tracks import Places, people_apart


def with_people_apart(parts: Sequence[tuple[Path, list[Found]]], account: Account) -> list[Found]:
    """All tubelets, in the order of the files. Where two files have a box of one person, the earlier file's counts."""
    files: defaultdict[str, list[int]] = defaultdict(list)
    for index, (_, found) in enumerate(parts):
        for reference in dict.fromkeys(each.reference for each in found if each.person):
            files[reference].append(index)
    called = [list(found) for _, found in parts]
    joined: set[tuple[str, str]] = set()
    for reference, places in files.items():
        told = people_apart([(parts[index][0].stem, people_of(called[index], reference)) for index in places])
        for index, people in zip(places, told, strict=True):
            names = {each.name: each.called for each in people}
            called[index] = [replace(each, person=names.get(each.person, each.person))
                             if each.reference == reference else each for each in called[index]]
            joined |= {(reference, each.called) for each in people if each.known}
            if index != places[0]:
                account.say(parts[index][0].name, line_about(reference, people))
    everything = [each for found in called for each in found]
    merged = {key: merge(group) for key, group in tracks_of(everything, joined).items()}
    return [*(each for each in everything if (each.reference, each.person) not in joined),
            *(each for group in merged.values() for each in group)]


def people_of(found: Sequence[Found], reference: str) -> dict[str, Places]:
    people: dict[str, Places] = {}
    for each in found:
        if each.reference == reference and each.person:
            here = Places(np.arange(each.start, each.stop, dtype=np.float64), each.boxes)
            people[each.person] = people[each.person] | here if each.person in people else here
    return people


def tracks_of(found: Sequence[Found], joined: set[tuple[str, str]]) -> Mapping[tuple[str, str, str], list[Found]]:
    """The tubelets of each person that several files have, by label."""
    tracks: defaultdict[tuple[str, str, str], list[Found]] = defaultdict(list)
    for each in found:
        if (each.reference, each.person) in joined:
            tracks[each.reference, each.person, each.label].append(each)
    return tracks


def merge(found: Sequence[Found]) -> list[Found]:
    """The tubelets of one person and label, those that meet as one; of two boxes in a clip the first."""
    boxes: dict[int, np.ndarray] = {}
    scores: dict[int, float] = {}
    for each in found:
        for clip, box in enumerate(each.boxes, each.start):
            boxes.setdefault(clip, box)
            scores.setdefault(clip, each.score)
    clips = sorted(boxes)
    return [replace(found[0], start=clips[run[0]], score=mean_of([scores[clips[place]] for place in run]),
                    boxes=np.array([boxes[clips[place]] for place in run])) for run in runs(np.array(clips))]
