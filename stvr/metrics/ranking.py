"""nDCG with graded labels: an answer that shares some of the query's actions is worth something."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from stvr.metrics.average_precision import best_truth, first_to_ask
from stvr.metrics.frame_map import ClipRecord, joined, numbered
from stvr.tubelets.overlaps import Floats

IOU = 0.5  # a detection shows a person when it overlaps that much


@dataclass(frozen=True, slots=True, eq=False)
class GradedClip:
    """A clip's detections as a ClipRecord whose truth is everybody (G, 4), and what each is worth: gains (G,)."""

    record: ClipRecord
    gains: Sequence[float]


def jaccard(label: str, other: str) -> float:
    """Of two sets of actions "11,74" and "11": shared actions / all actions, in [0, 1]."""
    one, two = set(label.split(",")), set(other.split(","))
    return len(one & two) / len(one | two)


def ndcg(gains: Floats, ideal: Floats) -> float:
    """Discounted gain of a ranking / that of the best ranking: gains (D,) in ranked order, ideal (G,) in any order.

    The discount of rank r, from 1, is log2(r + 1) (Järvelin and Kekäläinen 2002). NaN when there is nothing to gain.
    """
    best = discounted(np.sort(ideal)[::-1])
    return discounted(gains) / best if best > 0 else float("nan")


def discounted(gains: Floats) -> float:
    return float(np.sum(gains / np.log2(np.arange(2, len(gains) + 2))))


def pair_ndcg(clips: Sequence[GradedClip]) -> float:
    """nDCG of one pair: the detections of all its clips in one ranking; each person of a clip counts once."""
    scores = joined([clip.record.scores for clip in clips], ())
    order = np.argsort(-scores, kind="stable")
    truth = joined([clip.record.truth for clip in clips], (4,))
    worth = np.array([gain for clip in clips for gain in clip.gains], float)
    overlap, wanted = best_truth(
        joined([clip.record.boxes for clip in clips], (4,))[order],
        numbered([clip.record.boxes for clip in clips])[order],
        truth,
        numbered([clip.record.truth for clip in clips]),
    )
    shown = first_to_ask(overlap, wanted, len(truth), [IOU])[0]
    gains = np.zeros(len(order))
    gains[shown] = worth[wanted[shown]]
    return ndcg(gains, worth)


def mean_ndcg(pairs: Iterable[Sequence[GradedClip]]) -> float:
    """The mean over the pairs that have something to gain; NaN when none has."""
    values = [value for value in map(pair_ndcg, pairs) if value == value]
    return float(np.mean(values)) if values else float("nan")
