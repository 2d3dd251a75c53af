"""Balanced samples, held to the TensorFlow Object Detection API's sampler, and the draws behind them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stvr.heads.boxes import IGNORED, NEGATIVE, POSITIVE
from stvr.heads.sampling import draws, mixed, order_of, sample

SEEDS = torch.tensor([7, 2**62 - 1])


@pytest.fixture(scope="module")
def theirs(shared):
    return np.load(shared / "data/reference_values/od_api_reference_values.npz")


def numbers_of(num_clips: int, count: int) -> torch.Tensor:
    return torch.arange(count).expand(num_clips, -1)


@pytest.mark.parametrize("method", ["random", "first"])
@pytest.mark.parametrize("case", range(6))
def test_a_sample_is_balanced_as_theirs(theirs, method, case):
    """Counted with the API's balanced sampler, which never tops up with positives: 10 of 16 give 4 and 6."""
    share, *counts = theirs["sampler_cases(frac,batch,pos,neg,ign->pos,neg)"][case].tolist()
    size, positives, negatives, ignored, *wanted = map(int, counts)
    state = torch.tensor([POSITIVE] * positives + [NEGATIVE] * negatives + [IGNORED] * ignored)
    state = torch.stack([state[torch.randperm(len(state), generator=torch.Generator().manual_seed(n))]
                         for n in range(2)])
    taken = sample(state, size, share, order_of(method, numbers_of(2, state.shape[1]), SEEDS, 0))
    for clip in range(2):
        kinds = state[clip, taken[clip]]
        assert [(kinds == kind).sum() for kind in (POSITIVE, NEGATIVE, IGNORED)] == [*wanted, 0]


def test_the_first_of_each_kind_are_kept():
    state = torch.tensor([NEGATIVE, POSITIVE, IGNORED, POSITIVE, NEGATIVE, NEGATIVE])
    assert order_of("first", torch.arange(6)[None], None, 0) is None
    assert sample(state, 3, 0.4).tolist() == [True, True, False, False, True, False]


@pytest.mark.parametrize("seeds", [None, torch.arange(50) * 2**56])
def test_a_random_sample_is_even(seeds):
    """2000 clips, 40 of an item where there are seeds."""
    torch.manual_seed(0)
    order = order_of("random", numbers_of(2000, 20), seeds, 0)
    counts = sample(torch.zeros(2000, 20, dtype=torch.long), 5, 0.25, order).sum(0)
    assert (counts - 500).abs().max() < 5 * (2000 * 0.25 * 0.75) ** 0.5  # five standard deviations


def test_the_numbers_are_splitmix64s():
    """Its first three for the state 1234567, as its author's program prints them."""
    stride = 0x9E3779B97F4A7C15 - 2**64
    found = mixed(1234567 + torch.arange(1, 4) * stride)
    assert [number % 2**64 for number in found.tolist()] == [
        6457827717110365317, 3203168211198807973, 9817491932198370423,
    ]  # fmt: skip


def test_what_is_drawn_for_a_clip_depends_on_its_item_alone():
    """Not on its neighbours, nor on how far the item is padded; its clips, its two draws and other seeds differ."""
    both = draws(SEEDS, numbers_of(6, 9), 0)  # three clips each
    assert torch.equal(draws(SEEDS[1:], numbers_of(3, 9), 0), both[3:])
    assert torch.equal(draws(SEEDS[:1], numbers_of(5, 12), 0)[:3, :9], both[:3])
    every = torch.cat([both, draws(SEEDS, numbers_of(6, 9), 1)])
    assert len(every.unique()) == every.numel()
