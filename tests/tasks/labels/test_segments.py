"""Which time steps stand for a stretch of video: the numbers of the released programs."""

from __future__ import annotations

import numpy as np
import pytest

from stvr.tasks.labels.segments import middle_steps, random_steps


@pytest.mark.parametrize(("count", "segments"), [(37, 8), (100, 16), (9, 8), (120, 8), (17, 16)])
def test_evaluation_takes_the_steps_that_the_programs_take(count, segments):
    tick = count / segments
    assert middle_steps(count, segments) == [int(tick / 2.0 + tick * k) for k in range(segments)]


def test_a_stretch_of_fewer_steps_than_parts_is_spread_evenly():
    assert middle_steps(3, 6) == [0, 0, 1, 1, 2, 2]
    assert middle_steps(1, 4) == [0, 0, 0, 0]
    assert random_steps(3, 6, np.random.default_rng(0)) == [0, 0, 1, 1, 2, 2]


def test_training_draws_one_step_of_each_part_and_all_of_them_in_time():
    random = np.random.default_rng(0)
    drawn = np.array([random_steps(13, 4, random) for _ in range(200)])  # parts of 3; the 13th step is in none
    assert all({*drawn[:, part]} == {3 * part, 3 * part + 1, 3 * part + 2} for part in range(4))
