"""The Triton kernels of lstm_gates against their plain twin in float64, run by Triton's interpreter on a CPU.

test_lstm_gates.py starts it:  TRITON_INTERPRET=1 python -m pytest --noconftest tests/kernels/interpreted_lstm_gates.py
"""

import pytest
import torch
from fakes import assert_fake_is_real, layouts

from stvr.kernels.lstm_gates import ops, reference

TOLERANCE = {torch.float32: 1e-6, torch.float16: 2e-3, torch.bfloat16: 1.5e-2}  # the interpreter's bfloat16 truncates
ODD_SIZES = [(1, 40, 7, 33), (2, 5, 3, 4), (1, 1, 1, 7)]  # no channel count fills its block


@pytest.fixture(autouse=True)
def poison(monkeypatch):
    """Whatever a kernel leaves unwritten is NaN."""
    real = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *size, **options: real(*size, **options).fill_(float("nan")))


def made(batch, channels, height, width, dtype=torch.float32, spread=2.0, offset=0.5):
    torch.manual_seed(0)
    gates = spread * torch.randn(batch, 4 * channels, height, width) + offset
    memory, x = torch.randn(2, batch, channels, height, width).unbind()
    affine = [1 + 0.2 * torch.randn(4 * channels), 0.2 * torch.randn(4 * channels),
              1 + 0.2 * torch.randn(channels), 0.2 * torch.randn(channels)]  # fmt: skip
    return [part.to(dtype).requires_grad_() for part in (gates, memory, x)] + [part.requires_grad_() for part in affine]


def answers(function, inputs, slopes, forget_bias=1.0, epsilon=1e-12):
    """hidden, memory, and what flows back to every input"""
    outputs = function(*inputs, forget_bias, epsilon)
    slopes = [slope.to(output.dtype) for slope, output in zip(slopes, outputs, strict=True)]
    return [*outputs, *torch.autograd.grad(outputs, inputs, slopes)]


def assert_equals_twin(inputs, tolerance, **options):
    slopes = [torch.randn_like(inputs[1]), torch.randn_like(inputs[1])]
    exact = [part.detach().double().requires_grad_() for part in inputs]
    for ours, theirs in zip(answers(ops.lstm_gates, inputs, slopes, **options),
                            answers(reference.lstm_gates, exact, slopes, **options), strict=True):  # fmt: skip
        assert ours.isfinite().all()
        assert (ours.double() - theirs).norm() <= tolerance * theirs.norm() + 1e-6 * ours.numel() ** 0.5


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_forward_and_backward_equal_the_twin(dtype):
    assert_equals_twin(made(*ODD_SIZES[0], dtype), TOLERANCE[dtype])


@pytest.mark.parametrize("size", ODD_SIZES[1:])
def test_sizes_may_be_odd(size):
    assert_equals_twin(made(*size), 2e-6, epsilon=1e-3)


def test_long_strips_and_several_tiles_give_the_same(monkeypatch):
    monkeypatch.setattr(ops.kernel, "TILE_NUMBERS", 16)
    monkeypatch.setattr(ops.kernel, "STEP_NUMBERS", 16)
    monkeypatch.setattr(ops.kernel, "MANY_CELLS", 1)
    assert_equals_twin(made(2, 6, 5, 7), 1e-6)


def test_gates_in_bfloat16_go_with_a_state_in_float32():
    """As autocast makes them."""
    gates, *rest = made(1, 5, 4, 9)
    hidden, memory, towards_gates, *_ = answers(
        ops.lstm_gates, [gates.detach().bfloat16().requires_grad_(), *rest], [torch.ones_like(rest[0])] * 2
    )
    assert (hidden.dtype, memory.dtype, towards_gates.dtype) == (torch.float32, torch.float32, torch.bfloat16)
    assert_equals_twin([gates.detach().bfloat16().requires_grad_(), *rest], TOLERANCE[torch.bfloat16])


def test_options_are_heeded():
    assert_equals_twin(made(2, 5, 3, 4), 2e-6, forget_bias=-2.0, epsilon=0.5)


@pytest.mark.parametrize(("spread", "offset"), [(1e4, 0.0), (1e-3, 0.0), (1.0, 300.0)])
def test_extreme_gates_stay_exact(spread, offset):
    """Far from zero the deviations keep what float32 leaves of them: 300 / 1 costs two digits and a half."""
    assert_equals_twin(made(1, 5, 4, 9, spread=spread, offset=offset), 1e-6 if offset == 0 else 3e-4)


def test_saturated_gates_and_a_large_memory_are_finite():
    gates, memory, x, *affine = made(1, 5, 4, 9)
    affine[0].data.mul_(1e4)
    memory.data.mul_(1e6)
    outputs = answers(ops.lstm_gates, [gates, memory, x, *affine], [torch.ones_like(x)] * 2)
    assert all(output.isfinite().all() for output in outputs)


def test_gates_that_are_all_alike_give_their_bias():
    gates, memory, x, *affine = made(1, 5, 4, 8, spread=0.0, offset=0.0)
    hidden, new = ops.lstm_gates(gates, memory, x, *affine, 1.0, 1e-12)
    expected = reference.lstm_gates(*(part.double() for part in (gates, memory, x, *affine)), 1.0, 1e-12)
    torch.testing.assert_close((hidden.double(), new.double()), expected, atol=1e-6, rtol=0)


def test_any_memory_format_and_a_step_of_a_sequence_are_read_alike():
    gates, memory, _, *affine = made(2, 5, 3, 4)
    sequence = torch.randn(2, 6, 3, 4, 5)  # (B, T, H, W, C)
    step = sequence[:, 2].permute(0, 3, 1, 2)
    flat = ops.lstm_gates(gates, memory, step.contiguous(), *affine, 1.0, 1e-12)
    last = [part.contiguous(memory_format=torch.channels_last) for part in (gates, memory)]
    for one, two in zip(ops.lstm_gates(*last, step, *affine, 1.0, 1e-12), flat, strict=True):
        assert one.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(one, two, rtol=0, atol=0)


def test_twice_gives_the_same_bits():
    inputs, slopes = made(2, 5, 7, 5), [torch.ones(2, 5, 7, 5)] * 2
    for one, two in zip(*(answers(ops.lstm_gates, inputs, slopes) for _ in range(2)), strict=True):
        assert torch.equal(one, two)


def test_an_answer_that_nobody_uses_costs_no_gradient():
    inputs = made(1, 5, 3, 4)
    exact = [part.detach().double().requires_grad_() for part in inputs]
    (ours,) = torch.autograd.grad(ops.lstm_gates(*inputs, 1.0, 1e-3)[0].sum(), inputs[0])
    (theirs,) = torch.autograd.grad(reference.lstm_gates(*exact, 1.0, 1e-3)[0].sum(), exact[0])
    torch.testing.assert_close(ours.double(), theirs, atol=1e-6, rtol=1e-5)


def test_the_operators_pass_opcheck():
    gates, memory, x, *affine = made(2, 5, 3, 4)
    flat = [ops.rows(part).detach().requires_grad_() for part in (gates, memory, x)]
    torch.library.opcheck(ops.fused, (*flat, *affine, 1.0, 1e-3))
    detached = [part.detach() for part in (*flat, *affine)]
    _, _, raw, statistics = ops.fused(*detached, 1.0, 1e-3)
    torch.library.opcheck(ops.fused_backward, (detached[2], detached[2], detached[0], detached[1], raw, statistics,
                                               *detached[3:], 1.0))  # fmt: skip


@pytest.mark.parametrize(("batch", "channels", "height", "width"), [(2, 5, 3, 4), (1, 1, 1, 7)])
def test_the_fakes_know_every_stride(batch, channels, height, width):
    *maps, gate_gain, gate_bias, memory_gain, memory_bias = made(batch, channels, height, width)
    affine = [part.detach() for part in (gate_gain, gate_bias, memory_gain, memory_bias)]
    gates, memory, x = (layouts(ops.rows(part.detach())) for part in maps)
    for layout in gates:
        flat = [part[layout] for part in (gates, memory, x)]
        assert_fake_is_real(ops.fused, *flat, *affine, 1.0, 1e-3)
        _, _, raw, statistics = ops.fused(*flat, *affine, 1.0, 1e-3)
        slopes = [flat[2].half(), flat[1]]
        assert_fake_is_real(ops.fused_backward, *slopes, *flat[:2], raw, statistics, *affine, 1.0)


def test_torch_compile_sees_one_graph_forward_and_backward():
    inputs, slopes = made(2, 5, 3, 4), [torch.ones(2, 5, 3, 4)] * 2
    compiled = torch.compile(ops.lstm_gates, fullgraph=True, backend="aot_eager")
    for one, two in zip(answers(compiled, inputs, slopes), answers(ops.lstm_gates, inputs, slopes), strict=True):
        torch.testing.assert_close(one, two)


def test_vmap_is_refused_with_the_reason():
    inputs = [torch.stack([part.detach()] * 2) for part in made(1, 5, 3, 4)]
    with pytest.raises(NotImplementedError, match="does not support vmap"):
        torch.func.vmap(lambda *parts: ops.lstm_gates(*parts, 1.0, 1e-3))(*inputs)
