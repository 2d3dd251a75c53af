"""The paper's own equations, held to Keras' ConvLSTM2D, alone and inside the cell that warps."""

import numpy as np
import pytest
import torch
from tiny import HEAD

from stvr.config import fill
from stvr.heads import HeadOptions, build_head
from stvr.kernels import spline_warp
from stvr.propagation import PROPAGATION, Recurrent, WarpLSTMCell, build_propagation
from stvr.propagation.conv_lstm import ConvLSTMCell, LSTMState
from stvr.propagation.warp_lstm import control_points

RECURRENT = [name for name in PROPAGATION if name != "none"]


@pytest.fixture(scope="module")
def keras(shared):
    return np.load(shared / "data/reference_values/plain_convlstm_case.npz")


def load_gates(cell: ConvLSTMCell, keras, padding: int = 0) -> None:
    """Their kernels [row, column, in, out] in; `padding` more input channels are not read."""
    kernel = np.pad(keras["kernel"], ((0, 0), (0, 0), (0, padding), (0, 0)))
    weight = np.concatenate([kernel, keras["recurrent_kernel"]], 2).transpose(3, 2, 0, 1)
    cell.gates.load_state_dict({"weight": torch.from_numpy(weight), "bias": torch.from_numpy(keras["bias"])})


def assert_keras_answers(cell, features, keras):
    answer, state = Recurrent(cell).stream(features)
    for ours, theirs in ((answer, keras["output"]), (state.hidden.permute(0, 2, 3, 1), keras["final_h"]),
                         (state.memory.permute(0, 2, 3, 1), keras["final_c"])):  # fmt: skip
        np.testing.assert_allclose(ours.detach(), theirs, atol=1e-5, rtol=0)


def test_the_plain_cell_equals_keras(keras):
    cell = ConvLSTMCell(3, 4)
    load_gates(cell, keras)
    assert_keras_answers(cell, torch.from_numpy(keras["input"]), keras)


@pytest.mark.parametrize("warp", [False, True])
def test_the_warp_cell_in_its_plain_form_equals_keras_where_nothing_moves(keras, warp):
    cell = WarpLSTMCell(4, warp=warp, form="plain")
    load_gates(cell.plain, keras, padding=1)
    if warp:
        torch.nn.init.zeros_(cell.offsets.pointwise.weight)
    features = torch.from_numpy(np.pad(keras["input"], ((0, 0),) * 4 + ((0, 1),)))
    assert_keras_answers(cell, features, keras)


def test_where_it_moves_the_plain_gates_read_the_warped_state():
    """Equation 4: both states are carried along by one flow, then the gates are those of equation 1."""
    torch.manual_seed(0)
    cell = WarpLSTMCell(4, form="plain").double()
    torch.nn.init.normal_(cell.offsets.pointwise.bias)
    x, hidden, memory = torch.randn(3, 2, 4, 8, 9, dtype=torch.float64).unbind(0)
    moves = cell.displacement(x, hidden)
    assert moves.abs().max() > 0.5
    warped = spline_warp([hidden, memory], control_points(8, 9), moves)
    wanted, _ = cell.plain(x, LSTMState(*warped))
    torch.testing.assert_close(cell(x, LSTMState(hidden, memory))[0], wanted)


@pytest.mark.parametrize("name", RECURRENT)
def test_a_head_takes_the_plain_form_with_every_propagation(name):
    flags = {**HEAD, "feature_channels": 8, "width": None, "propagation": name}
    cells = {form: build_head(fill(HeadOptions, flags={**flags, "lstm_form": form})).propagation.cell
             for form in ("program", "plain")}  # fmt: skip
    plain = set(cells["plain"].state_dict()) - set(cells["program"].state_dict())
    assert plain == {"plain.gates.weight", "plain.gates.bias"}
    features, flow = 9 * torch.rand(1, 3, 10, 10, 8), torch.zeros(1, 3, 10, 10, 2)
    answer = build_propagation(name, 8, form="plain")(features, flow)
    assert answer.abs().max() < 1  # o * tanh(c): no skip is added


def test_a_form_that_is_none_is_refused():
    with pytest.raises(ValueError, match="lstm_form"):
        fill(HeadOptions, {}, flags={"lstm_form": "keras"})
