"""Ego4D's query metrics, counted by hand."""

import math

import pytest
import torch

from stvr.metrics.response import response_metrics
from stvr.structures import Span, Tubelet

FULL, HALF, AWAY = [0.0, 0.0, 0.4, 1.0], [0.0, 0.0, 0.2, 1.0], [0.6, 0.0, 1.0, 1.0]


def track(box: list[float], start: int, stop: int, score: float = 1.0, video: str = "v") -> Tubelet:
    return Tubelet(Span(video, start, stop), torch.tensor([box] * (stop - start)), score)


def test_time_and_space_are_counted_apart():
    # the right time, half of the box: temporal IoU 1, volume IoU .5, every clip's IoU .5
    result = response_metrics([[track(HALF, 0, 4)]], [track(FULL, 0, 4)])
    assert result.tap == {0.25: 1, 0.5: 1, 0.75: 1, 0.95: 1}
    assert result.stap == {0.25: 1, 0.5: 1, 0.75: 0, 0.95: 0}
    assert (result.success, result.recovery) == (1, 1)
    beside = response_metrics([[track(AWAY, 0, 4)]], [track(FULL, 0, 4)])
    assert (beside.tap[0.95], beside.stap[0.25], beside.success, beside.recovery) == (1, 0, 0, 0)


def test_average_precision_runs_over_the_answers_of_all_queries():
    # ranked: wrong (.9), right (.8), right again (.7, a repeat), right (.6) of 2 queries: 1/2 x 1/2 + 1/2 x 2/4
    answers = [[track(AWAY, 9, 12, 0.9), track(FULL, 0, 4, 0.8), track(FULL, 0, 4, 0.7)], [track(FULL, 5, 9, 0.6)]]
    result = response_metrics(answers, [track(FULL, 0, 4), track(FULL, 5, 9)])
    assert result.stap[0.5] == pytest.approx(0.5 * 0.5 + 0.5 * 0.5)


def test_success_and_recovery_look_at_the_best_answer_alone():
    answers = [[track(AWAY, 0, 4, 0.9), track(FULL, 0, 4, 0.8)], [track(FULL, 2, 4, 0.5)]]
    result = response_metrics(answers, [track(FULL, 0, 4), track(FULL, 0, 8)])
    assert result.success == pytest.approx(1 / 2)  # the second: volume 2 / 8
    assert result.recovery == pytest.approx(2 / 12)  # clips of all true tracks: 4 + 8


def test_a_query_without_an_answer_is_a_failure_and_another_video_is_false():
    result = response_metrics([[], [track(FULL, 0, 4, video="w")]], [track(FULL, 0, 4), track(FULL, 0, 4)])
    assert (result.tap[0.25], result.stap[0.25], result.success, result.recovery) == (0, 0, 0, 0)
    assert math.isnan(response_metrics([], []).success)
    with pytest.raises(ValueError, match="each of the 1 queries, got them for 2"):
        response_metrics([[], []], [track(FULL, 0, 4)])
