"""Which detections are true: greedy matching in all clips or frames at once. And the average precision."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from scipy.integrate import trapezoid

from stvr.tubelets.overlaps import Bools, Floats, Indices, paired_iou

COCO_THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))  # .5:.95


def stable(scores: Floats) -> Indices:
    """The best score first (D,); equal ones keep their order."""
    return np.argsort(-scores, kind="stable")


def numpy_reversed(scores: Floats) -> Indices:
    """The best score first (D,); equal ones as in evaluators that reverse numpy's own order, which is not stable."""
    return np.argsort(scores)[::-1]


def match_groups(
    boxes: Floats, groups: Indices, truth: Floats, truth_groups: Indices, thresholds: Sequence[float]
) -> Bools:
    """Which detections are true: boxes (D, 4), best first, and truth (G, 4), both by group -> (thresholds, D) bool.

    Each detection wants the true box of its group that it overlaps most (the first of equals). It is true when the IoU
    reaches the threshold and no earlier detection has taken that box; it never takes the second best instead.
    """
    overlap, wanted = best_truth(boxes, groups, truth, truth_groups)
    return first_to_ask(overlap, wanted, len(truth), thresholds)


def best_truth(boxes: Floats, groups: Indices, truth: Floats, truth_groups: Indices) -> tuple[Floats, Indices]:
    """For each box the largest IoU (D,) with a true box of its group, and which that is (D,); -1 where there is none.

    All boxes are compared with the first true box of their group, then with the second, and so on.
    """
    order = np.argsort(truth_groups, kind="stable")
    first = np.searchsorted(truth_groups[order], groups, side="left")
    last = np.searchsorted(truth_groups[order], groups, side="right")
    best, wanted = np.full(len(boxes), -1.0), np.full(len(boxes), -1, np.int64)
    asking, turn = np.flatnonzero(first < last), 0
    while len(asking):
        candidate = order[first[asking] + turn]
        overlap = paired_iou(boxes[asking], truth[candidate])
        better = overlap > best[asking]
        best[asking[better]], wanted[asking[better]] = overlap[better], candidate[better]
        turn += 1
        asking = asking[first[asking] + turn < last[asking]]
    return best, wanted


def first_to_ask(overlap: Floats, wanted: Indices, num_truth: int, thresholds: Sequence[float]) -> Bools:
    """For each true box the first detection that wants it with enough overlap: (thresholds, D) bool."""
    matched = np.zeros((len(thresholds), len(overlap)), bool)
    for row, threshold in zip(matched, thresholds, strict=True):
        asking = np.flatnonzero((overlap >= threshold) & (wanted >= 0))
        winner = np.full(num_truth, -1, np.int64)
        winner[wanted[asking][::-1]] = asking[::-1]  # reversed: the first detection is written last
        row[winner[winner >= 0]] = True
    return matched


def ranked_precision_recall(ranked: Bools, num_truth: int) -> tuple[Floats, Floats]:
    """Recall (D,) and precision (D,) after each detection: ranked (D,) says which are true, best score first."""
    true = np.cumsum(ranked)
    return true / max(num_truth, 1), true / np.arange(1, len(true) + 1)


def ranked_average_precision(ranked: Bools, num_truth: int) -> float:
    """Area under the precision-recall curve made monotone, in [0, 1] (Pascal VOC since 2010); NaN without truth."""
    if num_truth == 0:
        return float("nan")
    recall, precision = ranked_precision_recall(ranked, num_truth)
    return float(np.sum(np.diff(recall, prepend=0.0) * monotone(precision)))


def trapezoid_average_precision(ranked: Bools, num_truth: int) -> float:
    """Area under the curve itself, straight lines from (0, 1) on: `pr_to_ap` of ACT and MultiSports."""
    if num_truth == 0:
        return float("nan")
    recall, precision = ranked_precision_recall(ranked, num_truth)
    return float(trapezoid(np.append(1.0, precision), np.append(0.0, recall)))


def mean_of(values: Iterable[float]) -> float:
    """The mean; NaN when there is no value."""
    listed = list(values)
    return float(np.mean(listed)) if listed else float("nan")


def monotone(precision: Floats) -> Floats:
    """Each precision raised to the best one at a higher recall."""
    return np.maximum.accumulate(precision[::-1])[::-1]
