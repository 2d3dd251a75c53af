"""Which annotated tubelets show the same actor: one action ends, and in the same place the next begins."""

from __future__ import annotations

from collections.abc import Sequence

from stvr.structures import Tubelet
from stvr.tubelets.overlaps import paired_iou

IOU = 0.5  # of the last box of one with the first box of the next


def actors(tubelets: Sequence[Tubelet]) -> list[int]:
    """A number for each tubelet, the same for those of one actor.

    A tubelet is continued by one that begins in the clip after its end, the one whose first box overlaps its last box
    most, with an IoU of at least 0.5. Data sets do not name actors beyond a tubelet, so boxes must tell.
    """
    number, taken = list(range(len(tubelets))), set()
    for index in sorted(number, key=lambda each: tubelets[each].span.start):
        ends = [
            (overlap, before)
            for before in range(len(tubelets))
            if before not in taken and (overlap := continuity(tubelets[before], tubelets[index])) >= IOU
        ]
        if ends:
            _, before = max(ends)
            taken.add(before)
            number[index] = number[before]
    return number


def continuity(before: Tubelet, after: Tubelet) -> float:
    """IoU of the last box with the first, where one begins as the other ends; else 0."""
    if before.span.video != after.span.video or before.span.stop != after.span.start:
        return 0.0
    last, first = (boxes.detach().cpu().double().numpy() for boxes in (before.boxes[-1:], after.boxes[:1]))
    return float(paired_iou(last, first)[0])


def same_actor(targets: Sequence[Tubelet], others: Sequence[Tubelet]) -> list[bool]:
    """Which of the others show an actor who, at another time, is in a target."""
    number = actors((*targets, *others))
    target_actors = set(number[: len(targets)])
    return [each in target_actors for each in number[len(targets) :]]
