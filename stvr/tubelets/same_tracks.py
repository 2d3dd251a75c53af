"""Which tracks of several files of one video are one person: those whose boxes agree wherever both have one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stvr.tubelets.overlaps import Floats, paired_iou

IOU = 0.5  # on average over the moments that both have, as CVAT itself joins the jobs of a task


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where somebody is: moments (T,) ascending, each once, and boxes (T, 4) there."""

    moments: NDArray[np.float64]
    boxes: Floats

    def __or__(self, later: Places) -> Places:
        """Both; where both have a moment, this one's box."""
        new = ~np.isin(later.moments, self.moments)
        moments = np.concatenate([self.moments, later.moments[new]])
        order = np.argsort(moments, kind="stable")
        return Places(moments[order], np.concatenate([self.boxes, later.boxes[new]])[order])


@dataclass(frozen=True, slots=True)
class Joined:
    """name: what a file calls somebody; called: what all files together call them; known: whether an earlier file has
    them, under that name."""

    name: str
    called: str
    known: bool


def people_apart(files: Sequence[tuple[str, Mapping[str, Places]]]) -> list[list[Joined]]:
    """Every file numbers its people for itself: who is who in all of them. files: a word for each, its people by name.

    Somebody is one of an earlier file if their boxes agree; else, where the name is taken, they are "WORD:NAME".
    """
    everybody: dict[str, Places] = {}
    answers = []
    for word, people in files:
        same = agreeing(everybody, people)
        called = dict(same)
        for name in people:
            called.setdefault(name, free_name(name, word, {*everybody, *called.values()}))
        answers.append([Joined(name, called[name], name in same) for name in people])
        for name, places in people.items():
            there = everybody.get(called[name])
            everybody[called[name]] = there | places if there else places
    return answers


def agreeing(earlier: Mapping[str, Places], later: Mapping[str, Places]) -> dict[str, str]:
    """The later ones that are an earlier one, each at most one; those whose boxes agree best are joined first."""
    found = sorted(((agreement(one, other), known, new) for known, one in earlier.items()
                    for new, other in later.items()), key=lambda each: -each[0])
    same: dict[str, str] = {}
    for overlap, known, new in found:
        if overlap >= IOU and new not in same and known not in same.values():
            same[new] = known
    return same


def agreement(one: Places, other: Places) -> float:
    """Mean IoU over the moments that both have; 0 if there is none."""
    _, here, there = np.intersect1d(one.moments, other.moments, assume_unique=True, return_indices=True)
    return float(paired_iou(one.boxes[here], other.boxes[there]).mean()) if len(here) else 0.0


def free_name(name: str, word: str, taken: Collection[str]) -> str:
    while name in taken:
        name = f"{word}:{name}"
    return name
