"""Metrics of classification: top-k, mean class accuracy, mAP of several labels at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stvr.metrics.average_precision import mean_of
from stvr.tubelets.overlaps import Bools, Floats


def top_k_accuracy(scores: Floats, labels: NDArray[np.integer], ks: Sequence[int] = (1, 5)) -> dict[int, float]:
    """The share of items whose label (N,) is among the k largest scores (N, C); of equal scores the first class wins.

    NaN without items. Raises ValueError where shapes or labels do not fit.
    """
    check(scores, labels)
    own = scores[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(scores.shape[1]) < labels[:, None]
    rank = ((scores > own) | (earlier & (scores == own))).sum(1)  # (N,), 0 is first
    return {k: float((rank < k).mean()) if len(rank) else float("nan") for k in ks}


def mean_class_accuracy(scores: Floats, labels: NDArray[np.integer]) -> float:
    """Top-1 accuracy of each class that occurs, averaged over the classes: scores (N, C), labels (N,)."""
    check(scores, labels)
    right = scores.argmax(1) == labels
    support = np.bincount(labels, minlength=scores.shape[1])
    return mean_of(np.bincount(labels, right, scores.shape[1])[support > 0] / support[support > 0])


def multilabel_average_precision(scores: Floats, truth: Bools) -> Floats:
    """AP (C,) of each class over the items: scores (N, C), truth (N, C). Not interpolated; NaN without a true item.

    The sum of precision x gain in recall over all thresholds, as Charades and scikit-learn count it; items of equal
    score pass a threshold together, so their order does not matter.
    """
    if scores.shape != truth.shape or scores.ndim != 2:
        raise ValueError(f"wanted scores and truth of one shape (N, C), got {scores.shape} and {truth.shape}.")
    return np.array([one_label(scores[:, c], truth[:, c]) for c in range(scores.shape[1])])


def one_label(scores: Floats, truth: Bools) -> float:
    if not truth.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # of each run of equal scores
    true = np.cumsum(truth[order])[last]
    return float(np.sum(np.diff(true, prepend=0) / truth.sum() * true / (last + 1)))


def multilabel_map(scores: Floats, truth: Bools) -> float:
    """The mean of `multilabel_average_precision` over the classes that have a true item; NaN when none has."""
    precisions = multilabel_average_precision(scores, truth)
    return mean_of(precisions[~np.isnan(precisions)])


def check(scores: Floats, labels: NDArray[np.integer]) -> None:
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise ValueError(f"wanted scores (N, C) and labels (N,), got {scores.shape} and {labels.shape}.")
    if len(labels) and not 0 <= labels.min() <= labels.max() < scores.shape[1]:
        raise ValueError(f"wanted labels in [0, {scores.shape[1]}), got labels from {labels.min()} to {labels.max()}.")
