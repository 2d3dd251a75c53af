"""nDCG with graded labels, counted by hand."""

import math
from math import log2

import numpy as np
import pytest
import torch

from stvr.metrics.frame_map import ClipRecord
from stvr.metrics.ranking import GradedClip, jaccard, ndcg, pair_ndcg

LEFT, RIGHT, AWAY = [0.0, 0.0, 0.4, 1.0], [0.6, 0.0, 1.0, 1.0], [0.4, 0.0, 0.6, 1.0]


def graded(found: list[list[float]], scores: list[float], truth: list[list[float]], gains: list[float]) -> GradedClip:
    boxes, true = (torch.tensor(rows, dtype=torch.float64).reshape(-1, 4) for rows in (found, truth))
    return GradedClip(ClipRecord(boxes, torch.tensor(scores), true), gains)


def test_labels_that_share_actions_are_worth_something():
    assert jaccard("11,74", "74,11") == 1
    assert jaccard("12", "12,74") == 0.5
    assert jaccard("12", "121") == 0


def test_ndcg_counted_by_hand():
    # 3, 2, 3, 0, 1, 2 and its ideal, the example of the literature
    gains = np.array([3, 2, 3, 0, 1, 2])
    dcg = 3 + 2 / log2(3) + 3 / 2 + 0 + 1 / log2(6) + 2 / log2(7)
    ideal = 3 + 3 / log2(3) + 2 / 2 + 2 / log2(5) + 1 / log2(6)
    assert ndcg(gains, gains) == pytest.approx(dcg / ideal)
    assert math.isnan(ndcg(np.zeros(2), np.zeros(3)))
    assert ndcg(np.empty(0), np.ones(1)) == 0


def test_a_half_right_actor_before_the_right_one_costs_something_and_a_stranger_more():
    truth, gains = [LEFT, RIGHT], [1.0, 0.5]
    right = pair_ndcg([graded([LEFT, RIGHT], [0.9, 0.8], truth, gains)])
    turned = pair_ndcg([graded([LEFT, RIGHT], [0.8, 0.9], truth, gains)])
    stranger = pair_ndcg([graded([LEFT, AWAY], [0.8, 0.9], truth, gains)])
    assert right == 1
    assert turned == pytest.approx((0.5 + 1 / log2(3)) / (1 + 0.5 / log2(3)))
    assert stranger == pytest.approx((1 / log2(3)) / (1 + 0.5 / log2(3)))
    assert stranger < turned < right


def test_clips_are_ranked_together_and_each_person_counts_once():
    clips = [graded([LEFT, LEFT], [0.9, 0.8], [LEFT], [1.0]), graded([RIGHT], [0.7], [RIGHT], [1.0])]
    assert pair_ndcg(clips) == pytest.approx((1 + 1 / 2) / (1 + 1 / log2(3)))
    nobody = [graded([LEFT], [0.9], [], [])]
    assert math.isnan(pair_ndcg(nobody))  # nothing to gain
