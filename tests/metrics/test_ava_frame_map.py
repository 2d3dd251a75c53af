"""AVA's frame-mAP, held to an evaluator written once more in loops, after the official one's rules."""

import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stvr.metrics.ava_frame_map import KeyframeBoxes, ava_frame_map, mean_ap

Row = tuple[tuple[str, int], int, float, tuple[float, float, float, float]]
LEFT, RIGHT, FLAT = (0.0, 0.0, 0.4, 1.0), (0.6, 0.0, 1.0, 1.0), (0.2, 0.2, 0.2, 0.9)


def keyframe_boxes(rows: list[Row]) -> KeyframeBoxes:
    return KeyframeBoxes(
        [row[0] for row in rows],
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], float),
        np.array([row[3] for row in rows], float).reshape(-1, 4),
    )


def scored(found: list[Row], truth: list[Row], classes=(1, 2, 3), excluded=()) -> dict[int, float]:
    result = ava_frame_map(keyframe_boxes(found), keyframe_boxes(truth), classes, excluded)
    return {label: action.average_precision for label, action in result.items()}


A, B = ("film", 902), ("film", 903)


def test_a_detection_where_nobody_is_annotated_is_a_false_one():
    found = [(A, 1, 0.5, LEFT), (B, 1, 0.9, LEFT)]
    assert scored(found, [(A, 1, 1.0, LEFT)])[1] == pytest.approx(0.5)


def test_a_detection_at_a_keyframe_that_is_not_listed_is_left_out_where_the_list_is_given():
    found, truth = keyframe_boxes([(A, 1, 0.5, LEFT), (B, 1, 0.9, LEFT)]), keyframe_boxes([(A, 1, 1.0, LEFT)])
    assert ava_frame_map(found, truth, [1], listed=[A])[1].average_precision == 1
    assert ava_frame_map(found, truth, [1], listed=[A, B])[1].average_precision == pytest.approx(0.5)


def test_an_excluded_keyframe_counts_neither_way():
    found, truth = [(A, 1, 0.5, LEFT), (B, 1, 0.9, RIGHT)], [(A, 1, 1.0, LEFT), (B, 1, 1.0, LEFT)]
    assert scored(found, truth)[1] == pytest.approx(0.25)  # false at .9, true at .5, of two: 1/2 x 1/2
    assert scored(found, truth, excluded=[B])[1] == 1


def test_a_second_box_on_the_same_person_is_false():
    found = [(A, 1, 0.9, LEFT), (A, 1, 0.8, LEFT), (A, 1, 0.7, RIGHT)]
    assert scored(found, [(A, 1, 1.0, LEFT), (A, 1, 1.0, RIGHT)])[1] == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_a_detection_without_area_is_not_counted_and_a_true_box_without_area_is():
    assert scored([(A, 1, 0.9, FLAT), (A, 1, 0.5, LEFT)], [(A, 1, 1.0, LEFT)])[1] == 1
    assert scored([(A, 1, 0.5, LEFT)], [(A, 1, 1.0, LEFT), (A, 1, 1.0, FLAT)])[1] == pytest.approx(0.5)


def test_a_class_without_truth_is_nan_and_outside_the_mean_one_without_detections_is_zero_and_in_it():
    found, truth = [(A, 1, 0.5, LEFT), (A, 3, 0.5, LEFT)], [(A, 1, 1.0, LEFT), (A, 2, 1.0, LEFT)]
    result = ava_frame_map(keyframe_boxes(found), keyframe_boxes(truth), [1, 2, 3])
    assert math.isnan(result[3].average_precision)
    assert (result[1].average_precision, result[2].average_precision) == (1, 0)
    assert mean_ap(result) == pytest.approx(0.5)
    assert (result[1].num_truth, result[3].num_truth, result[3].num_detections) == (1, 0, 1)
    assert math.isnan(mean_ap(ava_frame_map(keyframe_boxes([]), keyframe_boxes([]), [1])))


def plain_ap(found: list[Row], truth: list[Row], label: int, excluded: set) -> float:
    """Loops: images in turn, rows best first, a taken flag a true box, then the curve point by point."""
    images: dict = defaultdict(list)
    for row in found:
        if row[0] not in excluded and row[1] == label and row[3][0] < row[3][2] and row[3][1] < row[3][3]:
            images[row[0]].append(row)
    targets = [row for row in truth if row[1] == label and row[0] not in excluded]
    if not targets:
        return math.nan
    ranked = []
    for key, rows in images.items():
        taken = set()
        here = [row[3] for row in targets if row[0] == key]
        for _, _, score, box in rows:
            overlaps = [plain_iou(box, true) for true in here]
            best = int(np.argmax(overlaps)) if overlaps else None
            right = best is not None and overlaps[best] >= 0.5 and best not in taken
            taken |= {best} if right else set()
            ranked.append((score, right))
    order = np.argsort(np.array([score for score, _ in ranked]))[::-1]
    ranked = [ranked[i][1] for i in order]
    area, recall = 0.0, 0.0
    precisions = [sum(ranked[: i + 1]) / (i + 1) for i in range(len(ranked))]
    for i, right in enumerate(ranked):
        if right:
            area += max(precisions[i:]) / len(targets)
            recall += 1
    return area


def plain_iou(a, b) -> float:
    shared = max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union > 0 else 0.0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.booleans())
def test_a_second_implementation_agrees_equal_scores_and_boxes_without_area_among_them(seed, tied):
    rng = np.random.default_rng(seed)
    keys = [("a", 902), ("a", 903), ("b", 902), ("c", 1000)]

    def rows(number: int) -> list[Row]:
        made = []
        for _ in range(number):
            corner, size = rng.integers(0, 4, 2) / 10, rng.integers(0, 6, 2) / 10
            score = float(rng.integers(0, 4) / 4 if tied else rng.random())
            box = tuple(np.concatenate([corner, corner + size]).tolist())
            made.append((keys[rng.integers(4)], int(rng.integers(1, 4)), score, box))
        return sorted(made, key=lambda row: (keys.index(row[0]), -row[2]))

    found, truth, excluded = rows(40), rows(12), {keys[rng.integers(4)]}
    result = scored(found, truth, classes=(1, 2, 3, 4), excluded=excluded)
    for label in (1, 2, 3, 4):
        assert result[label] == pytest.approx(plain_ap(found, truth, label, excluded), abs=1e-12, nan_ok=True)
