"""How sure is a frame-mAP: pairs are drawn again and again with replacement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stvr.tubelets.matching import Bools, Floats, Indices, monotone
from stvr.tubelets.metrics import PairRecord, pool_label

DRAWS = 1000
LEVEL = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class LabelRanking:
    """All detections of a label, best first: which are true (D,), of which pair (D,); true boxes of each pair (P,)."""

    matched: Bools
    pair: Indices
    num_truth: Indices

    def average_precision(self, weights: Floats) -> float:
        """AP when pair p is there weights[p] times; NaN when no true box is."""
        total = float(self.num_truth @ weights)
        if total == 0:
            return float("nan")
        weight = weights[self.pair]
        true, every = np.cumsum(weight * self.matched), np.cumsum(weight)
        precision = np.divide(true, every, out=np.zeros_like(true), where=every > 0)
        return float(np.sum(np.diff(true, prepend=0.0) / total * monotone(precision)))


def bootstrap_means(
    results: Mapping[str, Sequence[PairRecord]], threshold: float = 0.5, draws: int = DRAWS, seed: int = 0
) -> dict[str, Floats]:
    """frame-mAP (draws,) of each result over the same draws of pairs, so that differences can be taken.

    results: by name, the records of the same pairs in the same order. A label none of whose true boxes was drawn is
    left out of that draw's mean. Raises ValueError when the results speak of different pairs.
    """
    sizes = {len(records) for records in results.values()}
    if len(sizes) > 1:
        raise ValueError(f"results over the same pairs are wanted, not over {' and '.join(map(str, sorted(sizes)))}.")
    number = sizes.pop() if sizes else 0
    rankings = {name: label_rankings(records, threshold) for name, records in results.items()}
    random = np.random.default_rng(seed)
    means = {name: np.full(draws, np.nan) for name in results}
    for draw in range(draws if number else 0):
        weights = np.bincount(random.integers(number, size=number), minlength=number).astype(float)
        for name, by_label in rankings.items():
            aps = np.array([ranking.average_precision(weights) for ranking in by_label])
            if not np.isnan(aps).all():
                means[name][draw] = np.nanmean(aps)
    return means


def interval(values: Floats, level: float = LEVEL) -> tuple[float, float]:
    """The middle `level` of the draws; NaN when there is none."""
    known = values[~np.isnan(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def label_rankings(records: Sequence[PairRecord], threshold: float) -> list[LabelRanking]:
    by_label: dict[str, list[int]] = defaultdict(list)
    for index, record in enumerate(records):
        by_label[record.label].append(index)
    return [label_ranking(records, indices, threshold) for _, indices in sorted(by_label.items())]


def label_ranking(records: Sequence[PairRecord], indices: Sequence[int], threshold: float) -> LabelRanking:
    pooled = pool_label([records[index] for index in indices], [threshold])
    order = np.argsort(-pooled.scores, kind="stable")
    pair = np.repeat(indices, [sum(len(clip.scores) for clip in records[index].clips) for index in indices])
    num_truth = np.zeros(len(records), np.int64)
    num_truth[list(indices)] = [sum(len(clip.truth) for clip in records[index].clips) for index in indices]
    return LabelRanking(pooled.matched[0][order], pair[order].astype(np.int64), num_truth)
