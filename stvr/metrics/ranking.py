"""nDCG with graded labels: an answer that shows some of the query's actions gains something."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stvr.labels import actions_of
from stvr.metrics.average_precision import best_truth, first_to_ask
from stvr.metrics.frame_map import ClipRecord, joined, numbered
from stvr.tubelets.overlaps import Floats

IOU = 0.5  # with the person that a detection shows


@dataclass(frozen=True, slots=True, eq=False)
class GradedClip:
    """A clip's detections as a ClipRecord whose truth is everybody (G, 4), and the gain of finding each (G,)."""

    record: ClipRecord
    gains: Sequence[float]


def jaccard(label: str, other: str) -> float:
    """Shared actions / all actions of two labels such as "11,74" and "11", in [0, 1]."""
    one, two = set(actions_of(label)), set(actions_of(other))
    return len(one & two) / len(one | two)


def ndcg(gains: Floats, ideal: Floats) -> float:
    """Discounted gain of a ranking / that of the best ranking. gains (D,): in ranked order; ideal (G,): in any order.

    The discount of rank r, from 1, is log2(r + 1) (Järvelin and Kekäläinen 2002). NaN when there is nothing to gain.
    """
    best = discounted(np.sort(ideal)[::-1])
    return discounted(gains) / best if best > 0 else float("nan")


def discounted(gains: Floats) -> float:
    return float(np.sum(gains / np.log2(np.arange(2, len(gains) + 2))))


def pair_ndcg(clips: Sequence[GradedClip]) -> float:
    """nDCG of one pair: the detections of all its clips in one ranking; each person counts once in each clip."""
    scores = joined([clip.record.scores for clip in clips], ())
    order = np.argsort(-scores, kind="stable")
    truth = joined([clip.record.truth for clip in clips], (4,))
    ideal = np.array([gain for clip in clips for gain in clip.gains], float)
    overlap, wanted = best_truth(
        joined([clip.record.boxes for clip in clips], (4,))[order],
        numbered([clip.record.boxes for clip in clips])[order],
        truth,
        numbered([clip.record.truth for clip in clips]),
    )
    shown = first_to_ask(overlap, wanted, len(truth), [IOU])[0]
    gains = np.zeros(len(order))
    gains[shown] = ideal[wanted[shown]]
    return ndcg(gains, ideal)
