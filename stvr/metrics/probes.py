"""Scores that never look at the query: they show how much of a result is owed to where and when targets lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_iou

from stvr.metrics.frame_map import ClipRecord, PairRecord


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """One clip as a probe sees it: all true boxes (G, 4), its index of num_clips, the mean box of the query (4,)."""

    boxes: Tensor
    clip: int
    num_clips: int
    query_box: Tensor
    random: np.random.Generator


def by_chance(moment: Moment) -> Tensor:
    return torch.from_numpy(moment.random.random(len(moment.boxes)))


def by_area(moment: Moment) -> Tensor:
    return (moment.boxes[:, 2:] - moment.boxes[:, :2]).prod(1)


def by_layout(moment: Moment) -> Tensor:
    """IoU with the query's box, as if both were in one picture."""
    return box_iou(moment.boxes, moment.query_box[None])[:, 0]


def by_centre(moment: Moment) -> Tensor:
    """1 in the middle of the reference, 0 at its ends."""
    from_centre = abs(2 * (moment.clip + 0.5) / moment.num_clips - 1)
    return torch.full((len(moment.boxes),), 1 - from_centre)


def by_middle_third(moment: Moment) -> Tensor:
    """1 in the middle third of the reference, else 0, divided by the number of boxes in the clip."""
    inside = moment.num_clips <= 3 * moment.clip + 1.5 <= 2 * moment.num_clips
    return torch.full((len(moment.boxes),), float(inside) / max(len(moment.boxes), 1))


# The probes of the audit of the published split; each ranks all annotated boxes of the reference.
PROBES: Mapping[str, Callable[[Moment], Tensor]] = {
    "random score": by_chance,
    "box area": by_area,
    "layout": by_layout,
    "centre": by_centre,
    "middle third / number of boxes": by_middle_third,
}


def probe_records(
    label: str, everyone: Sequence[Tensor], truth: Sequence[Tensor], query_boxes: Tensor, random: np.random.Generator
) -> dict[str, PairRecord]:
    """The ranking of one pair by every probe. everyone: all annotated boxes (G, 4) of each clip; truth: the label's.

    Equal scores are common here; they are ranked at random, so that no probe gains from the order of a file.
    """
    query_box = query_boxes.mean(0)
    records = {}
    for name, score in PROBES.items():
        clips = []
        for clip, (boxes, true) in enumerate(zip(everyone, truth, strict=True)):
            shuffled = boxes[torch.from_numpy(random.permutation(len(boxes)))]
            scores = score(Moment(shuffled, clip, len(everyone), query_box, random)).double()
            jitter = torch.from_numpy(random.random(len(boxes))) * 1e-9
            clips.append(ClipRecord(shuffled, scores + jitter, true))
        records[name] = PairRecord(label, clips)
    return records
