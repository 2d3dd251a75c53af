"""Promises that every entry of the menu keeps, and the authors' cell number by number."""

import numpy as np
import pytest
import torch

from stvr.propagation import PROPAGATION, Recurrent, build_propagation
from stvr.propagation.aligners import FlowAligner, SplineAligner, TrajectoryAligner
from stvr.propagation.cell import Cell, LSTMState
from stvr.propagation.gates import BottleneckGates

GATES = ("input", "transform", "forget", "output")


@pytest.fixture(params=PROPAGATION)
def propagation(request):
    torch.manual_seed(0)
    return build_propagation(request.param, 6).double()


@pytest.fixture(params=[name for name in PROPAGATION if name != "bidirectional"])
def onward(request):
    """Those that never look ahead."""
    torch.manual_seed(0)
    return build_propagation(request.param, 6).double()


@pytest.fixture
def features():
    return torch.randn(2, 4, 10, 12, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def flow():
    """Given to every entry; those that do not need it must not mind it."""
    return 2 * torch.randn(2, 4, 10, 12, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def test_the_shape_is_kept(propagation, features, flow):
    assert propagation(features, flow).shape == features.shape


def test_no_clip_sees_the_future(onward, features, flow):
    changed, moved = features.clone(), flow.clone()
    changed[:, 2:] += 1.0
    moved[:, 2:] += 1.0
    torch.testing.assert_close(onward(changed, moved)[:, :2], onward(features, flow)[:, :2], rtol=0, atol=0)


def test_streaming_one_clip_at_a_time_equals_the_whole(onward, features, flow):
    state, answers = None, []
    for clip, moved in zip(features.split(1, dim=1), flow.split(1, dim=1), strict=True):
        answer, state = onward.stream(clip, state, moved)
        answers.append(answer)
    torch.testing.assert_close(torch.cat(answers, 1), onward(features, flow), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in PROPAGATION if name != "none"])
def test_gradients_reach_the_first_clip(name, features, flow):
    features.requires_grad_()
    build_propagation(name, 6).double()(features, flow)[:, -1].square().sum().backward()
    assert features.grad[:, 0].abs().max() > 0


def test_only_the_entry_that_needs_flow_reads_it(propagation, features, flow):
    if propagation.needs_flow:
        assert not torch.equal(propagation(features, flow), propagation(features, -flow))
        with pytest.raises(ValueError, match="Extract with --flow ilk"):
            propagation(features)
    else:
        assert torch.equal(propagation(features, flow), propagation(features))


def test_the_cell_equals_the_authors(shared):
    case = np.load(shared / "data/reference_values/warp_lstm_cell_case.npz")
    cell = Cell(SplineAligner(6), BottleneckGates(6))
    their_names = load_cell(cell, lambda name: torch.from_numpy(case[f"var|rnn|conv_lstm_cell|{name}"]))
    features = torch.from_numpy(case["input"]).requires_grad_()
    answer, state = Recurrent(cell).stream(features)
    assert relative(answer, case["output"]) < 1e-3
    assert relative(state.memory.permute(0, 2, 3, 1), case["final_cell"]) < 1e-3
    assert relative(state.hidden.permute(0, 2, 3, 1), case["final_hidden"]) < 1e-3
    answer.backward(torch.from_numpy(case["cotangent"]))
    assert relative(features.grad, case["grad_input"]) < 1e-3
    for parameter, change, names in their_names:
        theirs = torch.cat([change(torch.from_numpy(case[f"grad|rnn|conv_lstm_cell|{name}"])) for name in names])
        assert relative(parameter.grad, theirs) < 1e-3, names


def test_without_warp_and_norm_it_is_equation_one():
    gates = BottleneckGates(2, norm="none", forget_bias=0.0).double()
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64)
    hidden, state = Cell(None, gates)(x, None)
    parts = gates.expand(gates.pointwise(gates.depthwise(torch.cat([x, torch.zeros_like(x)], 1)))).chunk(4, 1)
    memory = parts[0].sigmoid() * parts[1].tanh()  # forget x 0
    torch.testing.assert_close(state.memory, memory)
    torch.testing.assert_close(hidden, memory.tanh() * parts[3].sigmoid() + x)


def test_the_flow_lstm_is_a_conv_lstm_whose_state_was_moved(features):
    """One cell to the right, two down: the state is shifted by hand, its border repeated, and a ConvLSTM goes on."""
    torch.manual_seed(3)
    gates = BottleneckGates(6).double()
    moving, still = Cell(FlowAligner(), gates), Cell(None, gates)
    first, second = features[:, :2].permute(1, 0, 4, 2, 3)
    _, state = still(first)
    rows, columns = torch.arange(10).sub(2).clamp_min(0), torch.arange(12).sub(1).clamp_min(0)
    shifted = LSTMState(*(each[:, :, rows][:, :, :, columns] for each in state))
    flow = torch.tensor([2.0, 1.0], dtype=torch.float64).expand(2, 2, 10, 12, 2)
    answer = Recurrent(moving)(features[:, :2], flow)[:, 1].permute(0, 3, 1, 2)
    torch.testing.assert_close(answer, still(second, shifted)[0], rtol=0, atol=1e-12)


def load_cell(cell, variable):
    """Copies the authors' variables in; returns (parameter, change of layout, names) of each."""
    offsets, gates = cell.aligner.offsets, cell.gates
    rules = [
        (offsets.depthwise, torch.flatten, ["SeparableConv2d|depthwise_weights"]),
        (offsets.pointwise.weight, lambda v: v[0, 0].T, ["SeparableConv2d|pointwise_weights"]),
        (offsets.pointwise.bias, torch.flatten, ["SeparableConv2d|biases"]),
        (gates.depthwise.weight, lambda v: v.permute(2, 3, 0, 1), ["SeparableConv2d_1|depthwise_weights"]),
        (gates.pointwise.weight, lambda v: v.permute(3, 2, 0, 1), ["SeparableConv2d_1|pointwise_weights"]),
        (gates.pointwise.bias, torch.flatten, ["SeparableConv2d_1|biases"]),
        (gates.expand.weight, lambda v: v.permute(3, 2, 0, 1), ["Conv|weights"]),
        (gates.expand.bias, torch.flatten, ["Conv|biases"]),
        (gates.gate_norm.weight, torch.flatten, [f"{gate}|gamma" for gate in GATES]),
        (gates.gate_norm.bias, torch.flatten, [f"{gate}|beta" for gate in GATES]),
        (gates.memory_norm.weight, torch.flatten, ["state|gamma"]),
        (gates.memory_norm.bias, torch.flatten, ["state|beta"]),
    ]
    with torch.no_grad():
        for parameter, change, names in rules:
            parameter.copy_(torch.cat([change(variable(name)) for name in names]))
    return rules


def relative(ours, theirs):
    theirs = torch.as_tensor(theirs)
    return ((ours.detach() - theirs).norm() / theirs.norm()).item()


def test_traj_lstm_reads_the_state_where_its_flows_point():
    """Flows set to one cell to the right everywhere: hidden and memory are shifted, the border repeated."""
    aligner = TrajectoryAligner(2).double()
    torch.nn.init.zeros_(aligner.structure.flows.weight)
    with torch.no_grad():
        aligner.structure.flows.bias.copy_(torch.tensor([0.0, 1.0]).repeat(5))  # (y, x) of every link
    x, hidden, memory = torch.randn(3, 1, 2, 4, 5, dtype=torch.float64).unbind(0)
    moved, remembered = aligner(x, LSTMState(hidden, memory))
    expected = torch.cat([hidden[..., :1], hidden[..., :-1]], -1)
    torch.testing.assert_close(moved, expected)
    torch.testing.assert_close(remembered, torch.cat([memory[..., :1], memory[..., :-1]], -1))
