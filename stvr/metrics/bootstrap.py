"""How sure a frame-mAP is: pairs are drawn again and again, with replacement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stvr.metrics.average_precision import monotone
from stvr.metrics.frame_map import PairRecord, pool_label
from stvr.tubelets.overlaps import Bools, Floats, Indices

DRAWS = 500
LEVEL = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class LabelRanking:
    """All detections of a label, best first: which are true (D,), their pairs (D,); true boxes of each pair (P,)."""

    matched: Bools
    pair: Indices
    num_truth: Indices

    def average_precision(self, weights: Floats) -> float:
        """AP when pair p counts weights[p] times; NaN when no true box counts."""
        total = float(self.num_truth @ weights)
        if total == 0:
            return float("nan")
        weight = weights[self.pair]
        true, every = np.cumsum(weight * self.matched), np.cumsum(weight)
        precision = np.divide(true, every, out=np.zeros_like(true), where=every > 0)
        return float(np.sum(np.diff(true, prepend=0.0) / total * monotone(precision)))


def bootstrap(
    results: Mapping[str, Sequence[PairRecord]], threshold: float = 0.5, draws: int = DRAWS, seed: int = 0
) -> dict[str, dict[str, Floats]]:
    """AP (draws,) by result and label, all over the same draws of pairs, so that results can be subtracted.

    results: by name, the records of the same pairs in the same order. NaN where no true box of a label was drawn.
    Raises ValueError when the results are of different numbers of pairs.
    """
    sizes = {len(records) for records in results.values()}
    if len(sizes) > 1:
        raise ValueError(f"all results must be of the same pairs, got {' and '.join(map(str, sorted(sizes)))} pairs.")
    number = max(sizes, default=0)
    rankings = {name: label_rankings(records, threshold) for name, records in results.items()}
    drawn = {name: {label: np.full(draws, np.nan) for label in by_label} for name, by_label in rankings.items()}
    random = np.random.default_rng(seed)
    for draw in range(draws if number else 0):
        weights = np.bincount(random.integers(number, size=number), minlength=number).astype(float)
        for name, by_label in rankings.items():
            for label, ranking in by_label.items():
                drawn[name][label][draw] = ranking.average_precision(weights)
    return drawn


def mean_over_labels(by_label: Mapping[str, Floats]) -> Floats:
    """frame-mAP (draws,): labels without a true box in a draw are left out of its mean."""
    every = np.stack(list(by_label.values()))  # (labels, draws)
    known = ~np.isnan(every)
    total, count = np.where(known, every, 0).sum(0), known.sum(0)
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)


def interval(values: Floats, level: float = LEVEL) -> tuple[float, float]:
    """The interval that holds the middle `level` of the draws; NaN when there is none."""
    known = values[~np.isnan(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def label_rankings(records: Sequence[PairRecord], threshold: float) -> dict[str, LabelRanking]:
    by_label: dict[str, list[int]] = defaultdict(list)
    for index, record in enumerate(records):
        by_label[record.label].append(index)
    return {label: label_ranking(records, indices, threshold) for label, indices in sorted(by_label.items())}


def label_ranking(records: Sequence[PairRecord], indices: Sequence[int], threshold: float) -> LabelRanking:
    pooled = pool_label([records[index] for index in indices], [threshold])
    order = np.argsort(-pooled.scores, kind="stable")
    pair = np.repeat(indices, [sum(len(clip.scores) for clip in records[index].clips) for index in indices])
    num_truth = np.zeros(len(records), np.int64)
    num_truth[list(indices)] = [sum(len(clip.truth) for clip in records[index].clips) for index in indices]
    return LabelRanking(pooled.matched[0][order], pair[order].astype(np.int64), num_truth)
