"""Temporal blocks: as many parameters as published, every one of them trained, one answer for one sequence."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from stvr.temporal import TEMPORAL, build_temporal
from stvr.temporal.relations import subset_of

PUBLISHED = {  # classes -> (8 segments, 16 segments), counted in the released program at 256 channels
    "mlp": {27: (1_062_939, 2_111_515), 174: (1_138_350, 2_186_926)},
    "trn_multiscale": {27: (2_344_125, 8_955_285), 174: (2_608_578, 9_521_970)},
    "rnn_tanh": {27: (138_523, 138_523), 174: (176_302, 176_302)},
    "rnn_relu": {27: (138_523, 138_523), 174: (176_302, 176_302)},
    "lstm": {27: (533_275, 533_275), 174: (571_054, 571_054)},
    "gru": {27: (401_691, 401_691), 174: (439_470, 439_470)},
    "blstm": {27: (402_203, 402_203), 174: (439_982, 439_982)},
    "fcn": {27: (562_395, 562_395), 174: (600_174, 600_174)},
}
BY_HAND = {  # 27 classes, 8 segments
    "trn": 2048 * 512 + 512 + 512 * 27 + 27,
    "fcn3d": 27 * (256 * 64 + 64 * 128 + 128 * 256) + 3 * (64 + 128 + 256) + 256 * 27 + 27,
    "convlstm": 9 * 512 * 1024 + 1024 + 256 * 27 + 27,
    "mean": 256 * 27 + 27,
}


def sized(name: str, classes: int, segments: int, channels: int = 256) -> nn.ModuleList:
    block = build_temporal(name, channels, segments)
    return nn.ModuleList([block, block.classifier(classes)])


def counted(name: str, classes: int, segments: int) -> int:
    """The parameters of a block and its classifier, without memory for them."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in sized(name, classes, segments).parameters())


def sequence(name: str, segments: int, channels: int) -> torch.Tensor:
    places = (3, 5) if TEMPORAL[name].on_maps else ()
    return torch.randn(2, segments, *places, channels, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_block_has_as_many_parameters_as_in_the_released_program(name):
    for classes, counts in PUBLISHED[name].items():
        assert tuple(counted(name, classes, segments) for segments in (8, 16)) == counts


@pytest.mark.parametrize("name", BY_HAND)
def test_the_other_blocks_have_as_many_parameters_as_counted_by_hand(name):
    assert counted(name, 27, 8) == BY_HAND[name]


def test_each_block_is_held_to_a_count():
    assert {*PUBLISHED, *BY_HAND} == {*TEMPORAL}


@pytest.mark.parametrize("segments", [8, 16])
@pytest.mark.parametrize("name", TEMPORAL)
def test_a_sequence_becomes_a_vector_and_that_the_scores_of_the_classes(name, segments):
    block, classifier = sized(name, 27, segments, channels=32)
    vector = block(sequence(name, segments, 32))
    assert vector.shape == (2, block.width)
    assert classifier(vector).shape == (2, 27)


@pytest.mark.parametrize("name", TEMPORAL)
def test_every_parameter_gets_a_gradient(name):
    torch.manual_seed(0)
    block, classifier = parts = sized(name, 5, 4, channels=16)
    classifier(block(sequence(name, 4, 16))).square().sum().backward()
    without = [label for label, each in parts.named_parameters() if each.grad is None or not each.grad.any()]
    assert not without  # that of a bias before batch norm is rounding alone


@pytest.mark.parametrize("name", TEMPORAL)
def test_in_eval_mode_two_runs_are_equal(name):
    block = build_temporal(name, 16, 6).eval()
    steps = sequence(name, 6, 16)
    first = block(steps)
    torch.manual_seed(99)
    assert torch.equal(first, block(steps))


def test_relations_are_drawn_in_training_and_spread_in_eval():
    block = build_temporal("trn_multiscale", 4, 8)
    drawn = {tuple(block.subsets(4)) for _ in range(5)}
    assert len(drawn) == 5
    assert all(len(set(subsets)) == 3 and set(subsets) <= {*combinations(range(8), 4)} for subsets in drawn)
    every = list(combinations(range(8), 4))  # 70
    assert block.eval().subsets(4) == [every[11], every[35], every[58]]  # 70 / 6, 70 / 2, 350 / 6
    assert block.subsets(8) == [tuple(range(8))]


def test_subsets_come_in_the_order_of_itertools():
    assert [subset_of(6, 3, rank) for rank in range(20)] == list(combinations(range(6), 3))


def test_a_block_of_both_ways_is_two_networks_of_one_way():
    block = build_temporal("blstm", 6, 5, {"hidden": 8})
    steps = torch.randn(3, 5, 6)
    ways = []
    for ending in ("_reverse", ""):
        one_way = nn.LSTM(6, 4, batch_first=True)
        one_way.load_state_dict({name: block.network.state_dict()[name + ending] for name in one_way.state_dict()})
        ways.append(one_way(steps.flip(1) if ending else steps)[0][:, -1])
    assert_close(block(steps), torch.cat(ways, -1))


def test_an_lstm_on_maps_of_one_cell_is_an_lstm():
    block = build_temporal("convlstm", 3, 4, {"hidden": 5})
    plain = nn.LSTM(3, 5, batch_first=True)
    middle = block.gates.weight[:, :, 1, 1].detach()  # the only part of the kernel that meets the cell
    order = torch.arange(20).view(4, 5)[[0, 1, 3, 2]].flatten()  # torch: in, forget, new, out
    plain.load_state_dict({
        "weight_ih_l0": middle[order, :3], "weight_hh_l0": middle[order, 3:],
        "bias_ih_l0": block.gates.bias.detach()[order], "bias_hh_l0": torch.zeros(20),
    })  # fmt: skip
    steps = torch.randn(2, 4, 3)
    assert_close(block(steps[:, :, None, None]), plain(steps)[0][:, -1])


@pytest.mark.parametrize(("name", "steps", "options", "said"), [
    ("trn_multiscale", 1, {}, "needs at least 2 steps"),
    ("lstm", 8, {"width": 3}, "no option 'width'"),
    ("blstm", 8, {"hidden": 5}, "even"),
])  # fmt: skip
def test_what_does_not_fit_is_said(name, steps, options, said):
    with pytest.raises(ValueError, match=said):
        build_temporal(name, 16, steps, options)


def test_a_block_on_no_menu_is_refused_with_the_menu():
    with pytest.raises(LookupError, match=r"no temporal block 'hydra'\. Choose one of mean, mlp"):
        build_temporal("hydra", 16, 8)
