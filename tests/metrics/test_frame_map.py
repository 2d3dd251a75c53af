"""frame-mAP and proposal recall, held to the released program's numbers and to hand-counted cases."""

import json
import math
from collections import defaultdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stvr.metrics import (
    COCO_THRESHOLDS,
    ClipRecord,
    PairRecord,
    average_precision,
    frame_map,
    match_clip,
    precision_recall_curves,
    proposal_recall,
)  # fmt: skip

CLIPS_A_SECOND = 3
NOTHING = torch.empty(0, 4)
LEFT, RIGHT = [0.0, 0.0, 0.4, 1.0], [0.6, 0.0, 1.0, 1.0]
SHIFTED = [0.1, 0.0, 0.5, 1.0]  # IoU with LEFT: .3 / .5 = .6


def boxes(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, 4)


def clip(found: list[list[float]], scores: list[float], truth: list[list[float]]) -> ClipRecord:
    return ClipRecord(boxes(*found), torch.tensor(scores, dtype=torch.float64), boxes(*truth))


def released_records(case: dict) -> list[PairRecord]:
    """The released program's dump: truth per second, detections per clip, class 1 = same, zero padded."""
    records = []
    for (query, reference), found in zip(case["pairs"], case["detections"], strict=True):
        clips = []
        for index, number in enumerate(found["num_detections"]):
            rows = [row for row in range(int(number)) if found["detection_classes"][index][row] == 1]
            clips.append(clip(
                [found["detection_boxes"][index][row] for row in rows],
                [found["detection_scores"][index][row] for row in rows],
                reference["gt"][index // CLIPS_A_SECOND],
            ))  # fmt: skip
        records.append(PairRecord(",".join(map(str, query["label"])), clips))
    return records


@pytest.fixture(scope="module")
def case(shared):
    return json.loads((shared / "data/reference_values/stvr_frame_map_case.json").read_text())


def test_every_ap_of_the_released_program_is_reproduced(case):
    result = frame_map(released_records(case))
    for threshold, expected in case["expected"].items():
        for label, ap in expected["per_label"].items():
            assert result.per_label[label][float(threshold)] == pytest.approx(ap, abs=1e-9)
        assert result.mean[float(threshold)] == pytest.approx(expected["mAP"], abs=1e-9)
    assert result.pairs == {"11,74": 2, "12": 2, "14,79": 2}
    assert result.boxes == {"11,74": 30, "12": 30, "14,79": 33}  # 5 + 5, 4 + 6, 8 + 3 boxes a second, three clips each


def test_the_curve_has_the_area_of_the_ap(case):
    records = released_records(case)
    for label, (recall, precision) in precision_recall_curves(records, 0.5).items():
        assert np.all(np.diff(recall) >= 0)
        assert np.all(np.diff(precision) <= 0)
        area = np.sum(np.diff(recall, prepend=0) * precision)
        assert area == pytest.approx(case["expected"]["0.5"]["per_label"][label], abs=1e-9)


def test_a_true_box_is_taken_once_and_by_the_best_score():
    found, scores = boxes(LEFT, SHIFTED, RIGHT), torch.tensor([0.5, 0.9, 0.1])
    matched = match_clip(found, scores, boxes(LEFT, RIGHT), [0.5, 0.7])
    assert matched.tolist() == [[False, True, True], [True, False, True]]  # at .7 SHIFTED does not reach LEFT


def test_a_detection_never_takes_its_second_best_box():
    near = [0.05, 0.0, 0.45, 1.0]  # overlaps both below .7 and above .5
    truth = boxes(LEFT, [0.15, 0.0, 0.55, 1.0])
    matched = match_clip(boxes(LEFT, near), torch.tensor([0.9, 0.8]), truth, [0.5])
    assert matched.tolist() == [[True, False]]


def test_the_threshold_itself_is_enough():
    half = [0.0, 0.0, 0.5, 0.5]
    assert match_clip(boxes(half), torch.ones(1), boxes([0.0, 0.0, 0.5, 1.0]), [0.5]).tolist() == [[True]]


def test_average_precision_counted_by_hand():
    # ranked: true, false, true, false; 4 boxes to find: recall .25 .25 .5 .5, monotone precision 1 2/3 2/3 1/2
    ap = average_precision(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, False]), 4)
    assert ap == pytest.approx(0.25 * 1 + 0.25 * 2 / 3)
    assert average_precision(np.empty(0), np.empty(0, bool), 3) == 0
    assert math.isnan(average_precision(np.array([0.5]), np.array([False]), 0))


def test_a_box_right_in_space_and_wrong_in_time_is_false():
    truth_first = [clip([LEFT], [0.2], [LEFT]), clip([LEFT], [0.9], [])]
    assert frame_map([PairRecord("a", truth_first)]).per_label["a"][0.5] == pytest.approx(0.5)


def test_a_pair_without_a_target_counts_against_its_label():
    found = PairRecord("a", [clip([LEFT], [0.5], [LEFT])])
    empty = PairRecord("a", [clip([LEFT], [0.9], [])])
    assert frame_map([found]).mean[0.5] == 1
    assert frame_map([found, empty]).mean[0.5] == pytest.approx(0.5)


def test_a_label_without_a_true_box_is_nan_and_outside_the_mean():
    result = frame_map([PairRecord("a", [clip([LEFT], [0.5], [LEFT])]), PairRecord("b", [clip([LEFT], [0.5], [])])])
    assert math.isnan(result.per_label["b"][0.5])
    assert result.mean[0.5] == 1
    assert result.boxes == {"a": 1, "b": 0}


def test_labels_weigh_the_same_however_many_pairs_they_have():
    good, bad = clip([LEFT], [0.5], [LEFT]), clip([RIGHT], [0.5], [LEFT])
    records = [PairRecord("a", [good])] + [PairRecord("b", [bad])] * 9
    assert frame_map(records).mean[0.5] == pytest.approx(0.5)


def test_nothing_found_is_zero_and_nothing_asked_is_empty():
    assert frame_map([PairRecord("a", [clip([], [], [LEFT])])]).mean == {0.3: 0, 0.5: 0, 0.7: 0}
    assert frame_map([]).mean == {}


def plain_frame_map(records: list[PairRecord], threshold: float) -> dict[str, float]:
    """The same protocol once more: loops, a set, the interpolated precision summed over true detections."""
    pooled: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    num_truth: dict[str, int] = defaultdict(int)
    for record in records:
        for each in record.clips:
            num_truth[record.label] += len(each.truth)
            taken: set[int] = set()
            for score, box in sorted(zip(each.scores.tolist(), each.boxes.tolist(), strict=True), reverse=True):
                overlaps = [plain_iou(box, true) for true in each.truth.tolist()]
                best = max(range(len(overlaps)), key=overlaps.__getitem__, default=None)
                right = best is not None and overlaps[best] >= threshold and best not in taken
                taken |= {best} if right else set()
                pooled[record.label].append((score, right))
    aps = {}
    for label in {record.label for record in records}:
        ranked = [right for _, right in sorted(pooled[label], reverse=True)]
        precisions = [sum(ranked[: i + 1]) / (i + 1) for i in range(len(ranked))]
        gains = [max(precisions[i:]) for i, right in enumerate(ranked) if right]
        aps[label] = sum(gains) / num_truth[label] if num_truth[label] else math.nan
    return aps


def plain_iou(a: list[float], b: list[float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31))
def test_a_second_implementation_agrees_at_many_thresholds(seed):
    rng = np.random.default_rng(seed)

    def some_boxes(number: int) -> torch.Tensor:
        corner = rng.random((number, 2)) * 0.3
        return torch.from_numpy(np.hstack([corner, corner + 0.2 + rng.random((number, 2)) * 0.4]))

    def some_clip() -> ClipRecord:
        number = int(rng.integers(0, 6))
        return ClipRecord(some_boxes(number), torch.from_numpy(rng.random(number)), some_boxes(int(rng.integers(0, 4))))

    records = [PairRecord(label, [some_clip() for _ in range(4)]) for label in "aabbc"]
    result = frame_map(records, COCO_THRESHOLDS)
    for threshold in COCO_THRESHOLDS:
        for label, ap in plain_frame_map(records, threshold).items():
            assert result.per_label[label][threshold] == pytest.approx(ap, abs=1e-12, nan_ok=True)


def test_recall_counts_true_boxes_reached_among_the_first_k():
    proposals = [boxes(RIGHT, SHIFTED, LEFT), boxes(LEFT), NOTHING]
    truth = [boxes(LEFT), boxes(RIGHT, LEFT), NOTHING]
    recall = proposal_recall(proposals, truth, ks=(1, 2, 3), thresholds=(0.5, 0.7))
    third = pytest.approx(1 / 3)
    assert recall == {
        1: {0.5: third, 0.7: third},  # only the second clip's LEFT
        2: {0.5: pytest.approx(2 / 3), 0.7: third},  # SHIFTED reaches LEFT at .6
        3: {0.5: pytest.approx(2 / 3), 0.7: pytest.approx(2 / 3)},
    }


def test_recall_of_nothing_proposed_is_zero_and_of_nothing_to_find_is_nan():
    assert proposal_recall([NOTHING], [boxes(LEFT)], ks=(8,), thresholds=(0.5,)) == {8: {0.5: 0}}
    assert math.isnan(proposal_recall([boxes(LEFT)], [NOTHING], ks=(8,), thresholds=(0.5,))[8][0.5])
    with pytest.raises(ValueError, match="same clips, got 1 and 2"):
        proposal_recall([NOTHING], [NOTHING, NOTHING])
