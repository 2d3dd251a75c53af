"""Overlaps of many pairs of tubelets at once: the two tube IoUs, and overlap in time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stvr.structures import Tubelet
from stvr.tubelets.overlaps import Floats, Indices, areas, paired_overlap

BOXES_AT_ONCE = 1_000_000  # pairs of boxes compared at once; bounds memory


@dataclass(frozen=True, slots=True, eq=False)
class Flat:
    """Tubelets end to end: boxes (F, 4); first (N,): index of each one's first box; start and stop (N,) in clips."""

    boxes: Floats
    first: Indices
    start: Indices
    stop: Indices

    @staticmethod
    def of(tubelets: Sequence[Tubelet]) -> Flat:
        boxes = [tubelet.boxes.detach().cpu().double().numpy() for tubelet in tubelets]
        start = np.array([tubelet.span.start for tubelet in tubelets], np.int64)
        stop = np.array([tubelet.span.stop for tubelet in tubelets], np.int64)
        first = np.cumsum(stop - start) - (stop - start)
        return Flat(np.concatenate(boxes) if boxes else np.empty((0, 4)), first, start, stop)

    def volumes(self) -> Floats:
        """The sum of the areas of each tubelet's boxes (N,)."""
        return np.add.reduceat(areas(self.boxes), self.first) if len(self.first) else np.empty(0)


@dataclass(frozen=True, slots=True, eq=False)
class Overlap:
    """Of P pairs, (P,) each: clips that both have, clips that either has; sums of IoUs and of intersections over the
    shared clips; sums of both volumes."""

    shared_clips: Indices
    all_clips: Indices
    ious: Floats
    volume: Floats
    volumes: Floats


def overlaps(found: Flat, truth: Flat, one: Indices, other: Indices) -> Overlap:
    """Pair p is found[one[p]] with truth[other[p]], both of one video."""
    start = np.maximum(found.start[one], truth.start[other])
    shared = np.maximum(np.minimum(found.stop[one], truth.stop[other]) - start, 0)
    every = found.stop[one] - found.start[one] + truth.stop[other] - truth.start[other] - shared
    ious, volume = np.zeros(len(one)), np.zeros(len(one))
    for part in parts(shared):
        pair = np.repeat(part, shared[part])
        ends = np.cumsum(shared[part])
        clip = np.arange(len(pair)) - np.repeat(ends - shared[part], shared[part]) + start[pair]
        iou, intersection = paired_overlap(
            found.boxes[found.first[one[pair]] + clip - found.start[one[pair]]],
            truth.boxes[truth.first[other[pair]] + clip - truth.start[other[pair]]],
        )
        ious += np.bincount(pair, iou, len(one))
        volume += np.bincount(pair, intersection, len(one))
    return Overlap(shared, every, ious, volume, found.volumes()[one] + truth.volumes()[other])


def parts(sizes: Indices) -> Iterator[Indices]:
    """The pairs with shared clips, in parts of at most about BOXES_AT_ONCE boxes."""
    shared = np.flatnonzero(sizes)
    if len(shared):
        edges = np.flatnonzero(np.diff(np.cumsum(sizes[shared]) // BOXES_AT_ONCE)) + 1
        yield from np.split(shared, edges)


def temporal_x_spatial(overlap: Overlap) -> Floats:
    """Temporal IoU x mean spatial IoU over the shared clips: the shared count cancels."""
    return overlap.ious / overlap.all_clips


def volume_iou(overlap: Overlap) -> Floats:
    """Sum of intersections / sum of unions over all clips of either."""
    union = overlap.volumes - overlap.volume
    return np.divide(overlap.volume, union, out=np.zeros_like(union), where=union > 0)


def temporal_iou(overlap: Overlap) -> Floats:
    return overlap.shared_clips / overlap.all_clips


# The two that the field uses, by the names that outputs give them.
TUBE_IOUS: Mapping[str, Callable[[Overlap], Floats]] = {
    "temporal_x_spatial": temporal_x_spatial,  # MultiSports, UCF101-24, JHMDB
    "volume": volume_iou,  # Ego4D VQ2D
}


def pairs_within(groups: Indices, truth_groups: Indices) -> tuple[Indices, Indices]:
    """All pairs (found, truth) of one group, as two arrays of indices (P,), ordered by found."""
    order = np.argsort(truth_groups, kind="stable")
    first = np.searchsorted(truth_groups[order], groups, side="left")
    count = np.searchsorted(truth_groups[order], groups, side="right") - first
    one = np.repeat(np.arange(len(groups)), count)
    within = np.arange(len(one)) - np.repeat(np.cumsum(count) - count, count)
    return one, order[first[one] + within]
