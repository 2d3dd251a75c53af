"""video-mAP, held to counts by hand and to a second implementation in loops."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stvr.metrics import tube_overlap
from stvr.metrics.video_map import LabelledTubelet, video_map
from stvr.structures import Span, Tubelet
from stvr.tubelets.geometry import tube_iou

LEFT, RIGHT, HALF = [0.0, 0.0, 0.4, 1.0], [0.6, 0.0, 1.0, 1.0], [0.0, 0.0, 0.2, 1.0]


def tube(box: list[float], start: int, stop: int, score: float = 1.0, video: str = "v", label: str = "a"):
    boxes = torch.tensor([box] * (stop - start), dtype=torch.float64)
    return LabelledTubelet(label, Tubelet(Span(video, start, stop), boxes, score))


def volume_iou(first: Tubelet, second: Tubelet) -> float:
    """Sum of intersections / sum of unions over all clips of either, clip by clip."""
    if first.span.video != second.span.video:
        return 0.0
    boxes = [dict(enumerate(each.boxes.tolist(), each.span.start)) for each in (first, second)]
    shared = 0.0
    for clip in boxes[0].keys() & boxes[1].keys():
        one, other = boxes[0][clip], boxes[1][clip]
        sides = [min(one[axis + 2], other[axis + 2]) - max(one[axis], other[axis]) for axis in (0, 1)]
        shared += max(sides[0], 0) * max(sides[1], 0)
    volumes = [(x2 - x1) * (y2 - y1) for each in boxes for x1, y1, x2, y2 in each.values()]
    return shared / (sum(volumes) - shared)


def at(found, truth, threshold: float, **options) -> float:
    return video_map(found, truth, [threshold], **options).mean[threshold]


def test_the_two_tube_ious_are_told_apart():
    # 4 of 6 clips shared, half of the box: .667 x .5 = .333; volumes .4 x 6 and .2 x 4, shared .8: .8 / 2.4 = .333
    # and with a box that is larger outside the shared clips they differ
    truth, found = [tube(LEFT, 0, 6)], [tube(HALF, 2, 6)]
    assert at(found, truth, 0.33) == 1
    assert at(found, truth, 0.34) == 0
    long = [tube(HALF, 3, 9)]  # shared 3 of 9 clips: .333 x .5 = .167; volume .6 / (2.4 + 1.2 - .6) = .2
    assert at(long, truth, 0.18) == 0
    assert at(long, truth, 0.18, tube_iou="volume") == 1


def test_another_video_or_another_label_is_false():
    truth = [tube(LEFT, 0, 6)]
    assert at([tube(LEFT, 0, 6, video="w")], truth, 0.5) == 0
    result = video_map([tube(LEFT, 0, 6, label="b")], truth, [0.5])
    assert result.per_label["a"][0.5] == 0
    assert math.isnan(result.per_label["b"][0.5])
    assert result.mean[0.5] == 0
    assert (result.num_truth, result.num_found) == ({"a": 1, "b": 0}, {"a": 0, "b": 1})


def test_a_tubelet_takes_the_best_truth_that_is_still_free():
    near = [0.05, 0.0, 0.45, 1.0]
    truth = [tube(LEFT, 0, 4), tube(near, 0, 4)]
    found = [tube(LEFT, 0, 4, 0.9), tube([0.01, 0.0, 0.41, 1.0], 0, 4, 0.8)]  # the second is nearer to LEFT, taken
    assert at(found, truth, 0.7) == 1


def test_average_precision_counted_by_hand_by_both_areas():
    # ranked: true, false, true of 2: all-point .5 x 1 + .5 x 2/3; trapezoid (0,1) (.5,1) (.5,.5) (1,2/3)
    truth = [tube(LEFT, 0, 4), tube(RIGHT, 0, 4)]
    found = [tube(LEFT, 0, 4, 0.9), tube(LEFT, 0, 4, 0.8), tube(RIGHT, 0, 4, 0.7)]
    assert at(found, truth, 0.5) == pytest.approx(0.5 + 1 / 3)
    assert at(found, truth, 0.5, area="trapezoid") == pytest.approx(0.5 + 0.5 * (0.5 + 2 / 3) / 2)


def test_a_tubelet_of_one_clip_counts_like_any_other():
    assert at([tube(LEFT, 3, 4)], [tube(LEFT, 3, 4)], 0.5) == 1  # MultiSports' linker would have dropped it


def test_the_strict_mean_is_over_ten_thresholds():
    # tube IoU 6 / 8 = .75: right at .5 .55 .6 .65 .7 .75
    result = video_map([tube(LEFT, 0, 6)], [tube(LEFT, 0, 8)])
    assert result.mean == {0.2: 1, 0.5: 1}
    assert result.mean_50_95 == pytest.approx(0.6)


def test_nothing_found_is_zero_and_nothing_asked_is_nan():
    assert at([], [tube(LEFT, 0, 4)], 0.5) == 0
    assert math.isnan(at([], [], 0.5))
    with pytest.raises(ValueError, match=r"there is no 'mean'\. Choose one of temporal_x_spatial, volume"):
        at([], [], 0.5, tube_iou="mean")


def plain_video_map(found, truth, threshold: float, iou, area: str) -> float:
    """Loops; the trapezoid area as MultiSports' evaluator sums it, point by point."""
    aps = []
    for label in sorted({each.label for each in truth}):
        targets = [each.tubelet for each in truth if each.label == label]
        free, ranked = set(range(len(targets))), []
        for each in sorted((f.tubelet for f in found if f.label == label), key=lambda t: -t.score):
            near = {i: iou(each, targets[i]) for i in free if iou(each, targets[i]) >= threshold}
            best = max(near, key=near.__getitem__, default=None)
            free -= {best}
            ranked.append(best is not None)
        precisions = [sum(ranked[: i + 1]) / (i + 1) for i in range(len(ranked))]
        if area == "trapezoid":
            gains = [(before + after) / 2 for before, after in pairwise([1.0, *precisions])]
        else:
            gains = [max(precisions[i:]) for i in range(len(ranked))]
        aps.append(sum(gain for gain, right in zip(gains, ranked, strict=True) if right) / len(targets))
    return float(np.mean(aps)) if aps else math.nan


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([("temporal_x_spatial", tube_iou), ("volume", volume_iou)]),
       st.sampled_from(["all_point", "trapezoid"]))
def test_a_second_implementation_agrees(seed, measure, area):
    rng = np.random.default_rng(seed)
    name, iou = measure

    def some(number: int):
        made = []
        for _ in range(number):
            start, length = int(rng.integers(0, 4)), int(rng.integers(1, 6))
            corner = rng.random((length, 2)) * 0.2
            boxes = torch.from_numpy(np.hstack([corner, corner + 0.3 + 0.3 * rng.random((length, 2))]))
            span = Span("vw"[rng.integers(2)], start, start + length)
            made.append(LabelledTubelet("ab"[rng.integers(2)], Tubelet(span, boxes, float(rng.random()))))
        return made

    found, truth = some(14), some(8)
    for threshold in (0.1, 0.2, 0.35, 0.5):
        assert at(found, truth, threshold, tube_iou=name, area=area) == pytest.approx(
            plain_video_map(found, truth, threshold, iou, area), abs=1e-12, nan_ok=True
        )


def test_memory_is_bounded_by_parts_that_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    truth = [tube(LEFT, int(s), int(s) + 20, video=f"v{i % 3}") for i, s in enumerate(rng.integers(0, 9, 9))]
    found = [tube(LEFT, int(s), int(s) + 15, float(rng.random()), video=f"v{i % 3}")
             for i, s in enumerate(rng.integers(0, 9, 30))]
    whole = video_map(found, truth, [0.3, 0.6]).mean
    monkeypatch.setattr(tube_overlap, "BOXES_AT_ONCE", 7)
    assert video_map(found, truth, [0.3, 0.6]).mean == whole
