"""The mistake that is shown is the one with the highest score, counted by hand."""

import pytest
import torch

from stvr.metrics import ClipRecord
from stvr.metrics.mistakes import largest_mistake

HERE, THERE = [0.2, 0.1, 0.6, 0.9], [0.7, 0.1, 0.9, 0.9]


def clip(found: dict[float, list[float]], *truth: list[float]) -> ClipRecord:
    """found: box by score."""
    boxes = torch.tensor(list(found.values())).reshape(-1, 4)
    return ClipRecord(boxes, torch.tensor(list(found)), torch.tensor(truth).reshape(-1, 4))


def test_it_is_the_highest_score_on_no_true_box_of_its_clip():
    found = largest_mistake([clip({0.9: HERE, 0.3: THERE}, HERE), clip({0.6: HERE, 0.7: THERE}), clip({0.5: HERE})])
    assert (found.clip, found.score) == (1, pytest.approx(0.7))
    assert found.box.tolist() == pytest.approx(THERE)


def test_the_first_of_equals_is_shown():
    assert largest_mistake([clip({}), clip({0.5: HERE}), clip({0.5: HERE})]).clip == 1


def test_a_second_detection_of_a_true_box_is_no_wrong_place():
    assert largest_mistake([clip({0.9: HERE, 0.8: [0.2, 0.1, 0.6, 0.85]}, HERE)]) is None


@pytest.mark.parametrize(("width", "wrong"), [(0.21, False), (0.19, True)])
def test_half_of_a_true_box_is_where_right_ends(width, wrong):
    """A box of the same height and of a share of the width overlaps by that share: 0.21 / 0.4 and 0.19 / 0.4."""
    assert (largest_mistake([clip({0.9: [0.2, 0.1, 0.2 + width, 0.9]}, HERE)]) is not None) == wrong


def test_without_a_wrong_detection_the_first_missed_box_is_shown():
    found = largest_mistake([clip({}), clip({0.9: HERE}, HERE), clip({0.9: HERE}, HERE, THERE), clip({}, HERE)])
    assert (found.clip, found.box, found.score) == (2, None, None)


def test_a_wrong_detection_comes_before_a_missed_box():
    assert largest_mistake([clip({}, HERE), clip({0.1: THERE}), clip({}, THERE)]).clip == 1


def test_nothing_wrong_is_no_mistake():
    assert largest_mistake([clip({}), clip({0.9: HERE}, HERE)]) is None
    assert largest_mistake([]) is None
