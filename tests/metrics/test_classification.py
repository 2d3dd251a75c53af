"""Classification, counted by hand and once more by pairwise comparison."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stvr.metrics.classification import (
    mean_class_accuracy,
    multilabel_average_precision,
    multilabel_map,
    top_k_accuracy,
)

SCORES = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7], [0.5, 0.4, 0.1]])
LABELS = np.array([0, 2, 2, 1])


def test_top_k_counts_the_items_whose_label_is_among_the_k_best():
    assert top_k_accuracy(SCORES, LABELS, (1, 2, 3)) == {1: 0.5, 2: 1.0, 3: 1.0}
    assert top_k_accuracy(np.zeros((2, 3)), np.array([0, 2]), (1,)) == {1: 0.5}  # of equal scores the first class


def test_mean_class_accuracy_weighs_classes_alike():
    assert mean_class_accuracy(SCORES, LABELS) == pytest.approx((1 + 0.5 + 0) / 3)
    assert mean_class_accuracy(SCORES, np.array([0, 0, 2, 0])) == pytest.approx((2 / 3 + 1) / 2)  # class 1 never occurs


def test_multilabel_ap_counted_by_hand():
    # ranked true, false, true: (1 + 2/3) / 2; a class with no true item is nan and outside the mean
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])
    truth = np.array([[1, 0], [0, 0], [1, 0]], bool)
    precisions = multilabel_average_precision(scores, truth)
    assert precisions[0] == pytest.approx(5 / 6)
    assert math.isnan(precisions[1])
    assert multilabel_map(scores, truth) == pytest.approx(5 / 6)
    assert math.isnan(multilabel_map(scores, np.zeros_like(truth)))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31))
def test_items_of_equal_score_are_passed_together(seed):
    rng = np.random.default_rng(seed)
    scores, truth = rng.integers(0, 4, (12, 1)) / 4, rng.random((12, 1)) < 0.4
    expected, recall = 0.0, 0.0
    for threshold in sorted({float(score) for score in scores[:, 0]}, reverse=True):
        passed = scores[:, 0] >= threshold
        gain = truth[passed].sum() / max(truth.sum(), 1) - recall
        expected, recall = expected + gain * truth[passed].mean(), recall + gain
    result = multilabel_average_precision(scores, truth)[0]
    assert result == pytest.approx(expected if truth.any() else math.nan, nan_ok=True)
    order = rng.permutation(12)
    assert multilabel_average_precision(scores[order], truth[order])[0] == pytest.approx(result, nan_ok=True)


def test_shapes_and_labels_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"wanted labels in \[0, 3\), got labels from 0 to 3"):
        top_k_accuracy(SCORES, np.array([0, 1, 2, 3]))
    with pytest.raises(ValueError, match="wanted scores"):
        mean_class_accuracy(SCORES, LABELS[:2])
