"""The paper's own equations, held to Keras' ConvLSTM2D, alone and inside the cell that warps."""

import numpy as np
import pytest
import torch
from tiny import build_small

from stvr.jobs.train import train_options
from stvr.kernels import spline_warp
from stvr.propagation import PROPAGATION, Recurrent, build_propagation
from stvr.propagation.aligners import SplineAligner, control_points
from stvr.propagation.cell import Cell, LSTMState
from stvr.propagation.gates import PlainGates

RECURRENT = [name for name in PROPAGATION if name not in ("none", "bidirectional", "transformer")]


@pytest.fixture(scope="module")
def keras(shared):
    return np.load(shared / "data/reference_values/plain_convlstm_case.npz")


def load_gates(gates: PlainGates, keras, padding: int = 0) -> None:
    """Their kernels [row, column, in, out] in; `padding` more input channels are not read."""
    kernel = np.pad(keras["kernel"], ((0, 0), (0, 0), (0, padding), (0, 0)))
    weight = np.concatenate([kernel, keras["recurrent_kernel"]], 2).transpose(3, 2, 0, 1)
    gates.convolution.load_state_dict({"weight": torch.from_numpy(weight), "bias": torch.from_numpy(keras["bias"])})


def assert_keras_answers(cell, features, keras):
    answer, state = Recurrent(cell).stream(features)
    for ours, theirs in ((answer, keras["output"]), (state.hidden.permute(0, 2, 3, 1), keras["final_h"]),
                         (state.memory.permute(0, 2, 3, 1), keras["final_c"])):  # fmt: skip
        np.testing.assert_allclose(ours.detach(), theirs, atol=1e-5, rtol=0)


def test_the_plain_cell_equals_keras(keras):
    gates = PlainGates(3, 4)
    load_gates(gates, keras)
    assert_keras_answers(Cell(None, gates), torch.from_numpy(keras["input"]), keras)


@pytest.mark.parametrize("warp", [False, True])
def test_the_warp_cell_in_its_plain_form_equals_keras_where_nothing_moves(keras, warp):
    aligner = SplineAligner(4) if warp else None
    cell = Cell(aligner, PlainGates(4, 4))
    load_gates(cell.gates, keras, padding=1)
    if warp:
        torch.nn.init.zeros_(aligner.offsets.pointwise.weight)
    features = torch.from_numpy(np.pad(keras["input"], ((0, 0),) * 4 + ((0, 1),)))
    assert_keras_answers(cell, features, keras)


def test_where_it_moves_the_plain_gates_read_the_warped_state():
    """Equation 4: both states are carried along by one flow, then the gates are those of equation 1."""
    torch.manual_seed(0)
    cell = Cell(SplineAligner(4), PlainGates(4, 4)).double()
    torch.nn.init.normal_(cell.aligner.offsets.pointwise.bias)
    x, hidden, memory = torch.randn(3, 2, 4, 8, 9, dtype=torch.float64).unbind(0)
    points = control_points(8, 9)
    moves = cell.aligner.offsets([x, hidden], points)
    assert moves.abs().max() > 0.5
    warped = spline_warp([hidden, memory], points, moves)
    wanted, _ = cell.gates(x, LSTMState(*warped))
    torch.testing.assert_close(cell(x, LSTMState(hidden, memory))[0], wanted)


@pytest.mark.parametrize("name", RECURRENT)
def test_a_head_takes_the_plain_form_with_every_propagation(name):
    cells = {form: build_small(8, width=None, propagation={"name": name, "form": form}).propagation.cell
             for form in ("program", "plain")}  # fmt: skip
    plain = set(cells["plain"].state_dict()) - set(cells["program"].state_dict())
    assert plain == {"gates.convolution.weight", "gates.convolution.bias"}
    features, flow = 9 * torch.rand(1, 3, 10, 10, 8), torch.zeros(1, 3, 10, 10, 2)
    answer = build_propagation(name, 8, {"form": "plain"})(features, flow)
    assert answer.abs().max() < 1  # o * tanh(c): no skip is added


def test_a_form_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"option 'head.propagation'.*'form'"):
        train_options("paper", flags={"head": {"propagation": {"form": "keras"}}})
