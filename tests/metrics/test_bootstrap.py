"""Intervals over pairs: exact where every draw is alike, equal to drawing whole pairs where it is not."""

import numpy as np
import pytest
import torch

from stvr.metrics.bootstrap import bootstrap, interval, mean_over_labels
from stvr.metrics.frame_map import ClipRecord, PairRecord, frame_map


def some_records(seed: int, number: int = 12) -> list[PairRecord]:
    rng = np.random.default_rng(seed)

    def boxes(n: int) -> torch.Tensor:
        corner = rng.random((n, 2)) * 0.3
        return torch.from_numpy(np.hstack([corner, corner + 0.3 + rng.random((n, 2)) * 0.3]))

    return [
        PairRecord("ab"[i % 2], [ClipRecord(boxes(4), torch.from_numpy(rng.random(4)), boxes(2)) for _ in range(3)])
        for i in range(number)
    ]


def bootstrap_means(results, **options):
    return {name: mean_over_labels(by_label) for name, by_label in bootstrap(results, **options).items()}


def test_a_draw_is_the_frame_map_of_the_pairs_drawn():
    records, draws = some_records(0), 30
    means = bootstrap_means({"model": records}, draws=draws, seed=7)["model"]
    random = np.random.default_rng(7)  # the same draws, taken by hand; a pair drawn twice weighs twice
    for mean in means:
        drawn = random.integers(len(records), size=len(records))
        heavy = frame_map([records[i] for i in sorted(drawn)]).mean[0.5]
        assert mean == pytest.approx(heavy, abs=0.02)  # its copies stand at one place of the ranking, not one by one
    assert means.std() > 0.01


def test_pairs_all_alike_leave_no_doubt():
    records = some_records(1, 1) * 8
    means = bootstrap_means({"model": records}, draws=20)["model"]
    low, high = interval(means)
    assert low == pytest.approx(high)


def test_the_interval_holds_the_middle_of_the_draws():
    low, high = interval(np.append(np.arange(1001.0), np.nan), 0.95)
    assert (low, high) == pytest.approx((25, 975))
    assert np.isnan(interval(np.array([np.nan]))[0])


def test_more_pairs_make_a_narrower_interval():
    few, many = (interval(bootstrap_means({"m": some_records(2, n)}, draws=200)["m"]) for n in (10, 160))
    assert many[1] - many[0] < 0.5 * (few[1] - few[0])  # the square root of 16 is 4


def test_two_results_are_drawn_together_so_that_their_difference_can_be_taken():
    records = some_records(3)
    both = bootstrap_means({"model": records, "twin": records}, draws=10)
    assert np.array_equal(both["model"], both["twin"])
    with pytest.raises(ValueError, match="of the same pairs, got 3 and 12 pairs"):
        bootstrap_means({"model": records, "other": records[:3]})
