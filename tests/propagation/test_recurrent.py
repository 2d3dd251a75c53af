"""What the loop over clips may do for speed without changing an answer."""

from functools import cache

import pytest
import torch

from stvr.propagation import PROPAGATION, Recurrent, build_propagation, recurrent
from stvr.propagation.aligners import SplineAligner
from stvr.propagation.cell import Cell
from stvr.propagation.gates import BottleneckGates
from stvr.propagation.recurrent import parts

MENU = [name for name in PROPAGATION if name not in ("none", "bidirectional", "transformer")]


def made(name="warp_lstm", clips=8, **options):
    torch.manual_seed(0)
    propagation = build_propagation(name, 6, {"bottleneck": 4, **options}).double()
    features, flow = torch.randn(2, clips, 9, 10, 6).double(), torch.randn(2, clips, 9, 10, 2).double()
    return propagation, features.requires_grad_(), flow


def answers(propagation, features, flow):
    """Features, last state, and what flows back to features and parameters."""
    answer, state = propagation.stream(features, None, flow)
    weights = [features, *propagation.parameters()]
    slopes = torch.autograd.grad(answer.square().sum() + state.memory.sum(), weights, allow_unused=True)
    return [answer, *state, *(slope for slope in slopes if slope is not None)]


@pytest.mark.parametrize("form", ["program", "plain"])
@pytest.mark.parametrize("name", MENU)
def test_looking_at_all_clips_ahead_changes_nothing(name, form):
    """Against the cell called clip by clip, which looks at one at a time."""
    propagation, features, flow = made(name, 3, form=form)
    cell, state, expected = propagation.cell, None, []
    for clip, moved in zip(features.permute(1, 0, 4, 2, 3), flow.unbind(1), strict=True):
        hidden, state = cell(clip, state, moved) if cell.needs_flow else cell(clip, state)
        expected.append(hidden.permute(0, 2, 3, 1))
    torch.testing.assert_close(propagation(features, flow), torch.stack(expected, 1), rtol=0, atol=1e-12)


def test_the_clips_half_and_the_states_half_are_the_convolution_of_both():
    gates = BottleneckGates(6, bottleneck=4).double()
    x, hidden = torch.randn(2, 3, 6, 7, 5).double().unbind()
    expected = gates.expand(gates.pointwise(gates.depthwise(torch.cat([x, hidden], 1))))
    torch.testing.assert_close(gates.combine(gates.look(x), hidden), expected, rtol=0, atol=1e-12)


def test_compiled_steps_give_the_same_answers_and_gradients(monkeypatch):
    """Traced whole, forward and backward, and run without code generation, which takes a minute: regions of 2 and 1."""
    traced = cache(lambda mode: torch.compile(recurrent.take_steps, backend="aot_eager", dynamic=False, fullgraph=True))
    monkeypatch.setattr(recurrent, "compiled_steps", traced)
    monkeypatch.setattr(recurrent, "COMPILED_CLIPS", 2)
    propagation, features, flow = made(clips=3)
    plain = answers(propagation, features, flow)
    propagation.compiled = True
    for one, two in zip(answers(propagation, features, flow), plain, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-9)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and there is none")
@pytest.mark.parametrize("training", [False, True])
def test_cuda_graphs_give_the_same_answers_again_and_again(training, monkeypatch):
    monkeypatch.setattr(recurrent, "COMPILED_CLIPS", 2)
    torch.manual_seed(0)
    propagation = Recurrent(Cell(SplineAligner(64), BottleneckGates(64))).cuda()
    for _ in range(4):  # warm-up, recording, replays: each with fresh clips
        features = torch.randn(2, 3, 20, 20, 64, device="cuda", requires_grad=training)
        both = []
        for propagation.compiled in (False, True):
            with torch.set_grad_enabled(training):
                if training:
                    both.append([each.clone() for each in answers(propagation, features, None)])
                else:
                    both.append([propagation(features)])
        for one, two in zip(*both, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-3 * two.abs().max().item())


def test_clips_go_in_whole_regions_then_one_by_one():
    assert [(each.start, each.stop) for each in parts(14, 6)] == [(0, 6), (6, 12), (12, 13), (13, 14)]
    assert list(parts(0, 6)) == []
