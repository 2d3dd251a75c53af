"""The pointwise part of the Warp LSTM's step: its meaning, the way it is computed on a CPU, its kernels interpreted."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import ODD_SIZES, assert_fake_is_real, layouts

from stvr.kernels import lstm_gates
from stvr.kernels.lstm_gates import item_by_item, reference, traced

INTERPRETED = Path(__file__).with_name("interpreted_lstm_gates.py")


def made(batch=2, channels=3, height=4, width=5, dtype=torch.float64, seed=0):
    """gates, memory, x, gate gain and bias, memory gain and bias"""
    random = torch.Generator().manual_seed(seed)
    draw = lambda *size: torch.randn(size, dtype=torch.float64, generator=random)  # noqa: E731
    maps = [2 * draw(batch, 4 * channels, height, width) + 0.5, *draw(2, batch, channels, height, width).unbind()]
    affine = [1 + 0.2 * draw(4 * channels), 0.2 * draw(4 * channels), 1 + 0.2 * draw(channels), 0.2 * draw(channels)]
    return [part.to(dtype) for part in (*maps, *affine)]


def by_numpy(gates, memory, x, gate_gain, gate_bias, memory_gain, memory_bias, forget_bias, epsilon):
    """The released program's lines, an item at a time."""

    def norm(values, gain, bias):
        deviation = np.sqrt(values.var() + epsilon)
        return (values - values.mean()) / deviation * gain[:, None, None] + bias[:, None, None]

    def sigmoid(values):
        return 1 / (1 + np.exp(-values))

    answers = []
    for item, old, skip in zip(gates, memory, x, strict=True):
        parts = zip(*(np.split(part, 4) for part in (item, gate_gain, gate_bias)), strict=True)
        input_gate, candidate, forget_gate, output_gate = (norm(*part) for part in parts)
        new = sigmoid(forget_gate + forget_bias) * old + sigmoid(input_gate) * np.tanh(candidate)
        new = norm(new, memory_gain, memory_bias)
        answers.append((np.tanh(new) * sigmoid(output_gate) + skip, new))
    return [np.stack(part) for part in zip(*answers, strict=True)]


@pytest.mark.parametrize(("batch", "forget_bias", "epsilon"), [(1, 1.0, 1e-12), (3, 0.0, 0.1)])
def test_it_is_the_programs_arithmetic(batch, forget_bias, epsilon):
    inputs = made(batch)
    hidden, memory = lstm_gates(*inputs, forget_bias=forget_bias, epsilon=epsilon)
    expected = by_numpy(*(part.numpy() for part in inputs), forget_bias, epsilon)
    np.testing.assert_allclose(hidden, expected[0], atol=1e-12)
    np.testing.assert_allclose(memory, expected[1], atol=1e-12)


def test_the_gradients_of_the_twin_are_those_of_differences():
    inputs = [part.requires_grad_() for part in made(2, 2, 2, 3)]
    assert torch.autograd.gradcheck(lambda *parts: reference.lstm_gates(*parts, 1.0, 1e-3), inputs)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 2e-2)])
def test_an_item_at_a_time_is_the_whole_batch_forward_and_backward(layout, dtype, tolerance):
    inputs = [part.to(dtype) for part in made(3, 8, 7, 33)]
    inputs = [part.contiguous(memory_format=layout) if part.dim() == 4 else part for part in inputs]
    leaves, exact = ([part.detach().to(kind).requires_grad_() for part in inputs] for kind in (dtype, torch.float64))
    ours, theirs = item_by_item(*leaves, 1.0, 1e-12), reference.lstm_gates(*exact, 1.0, 1e-12)
    slopes = [torch.randn_like(part) for part in ours]
    for one, two in zip(
        (*ours, *torch.autograd.grad(ours, leaves, slopes)),
        (*theirs, *torch.autograd.grad(theirs, exact, [part.double() for part in slopes])),
        strict=True,
    ):
        assert one.dtype == dtype
        assert ((one.double() - two).norm() / two.norm()).item() < tolerance


@pytest.mark.parametrize(("batch", "channels", "height", "width"), [(2, 5, 7, 33), (1, 1, 1, 7), (3, 4, 1, 1)])
def test_what_is_traced_is_the_twin_forward_and_backward(batch, channels, height, width):
    leaves = [part.requires_grad_() for part in made(batch, channels, height, width)]
    ours, theirs = (form.lstm_gates(*leaves, 1.0, 1e-3) for form in (traced, reference))
    slopes = [torch.randn_like(part) for part in ours]
    for one, two in zip(
        (*ours, *torch.autograd.grad(ours, leaves, slopes)), (*theirs, *torch.autograd.grad(theirs, leaves, slopes)),
        strict=True,
    ):  # fmt: skip
        torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_what_is_traced_sums_as_precisely_as_the_twin(dtype):
    """An offset of 30 deviations, which statistics in 16 bits would not survive."""
    gates, *others = made(2, 8, 7, 33)
    inputs = [(gates + 60).to(dtype), *(part.to(dtype) for part in others)]
    exact = reference.lstm_gates(*(part.double() for part in inputs), 1.0, 1e-3)
    for one, two, best in zip(traced.lstm_gates(*inputs, 1.0, 1e-3), exact, reference.lstm_gates(*inputs, 1.0, 1e-3),
                              strict=True):  # fmt: skip
        assert one.dtype == dtype
        assert (one.double() - two).norm() <= 1.1 * (best.double() - two).norm()


@pytest.mark.parametrize("size", ODD_SIZES, ids=str)
def test_the_fakes_of_what_is_traced_know_every_stride(size):
    *maps, gate_gain, gate_bias, memory_gain, memory_bias = made(*size)
    for gates, memory, x in zip(*(layouts(part).values() for part in maps), strict=True):
        inputs = (gates, memory, x, gate_gain, gate_bias, memory_gain, memory_bias)
        assert_fake_is_real(with_gradients, *inputs, longer_than=1)


def with_gradients(*inputs):
    leaves = [part.detach().requires_grad_() for part in inputs]
    answers = traced.lstm_gates(*leaves, 1.0, 1e-3)
    return [*answers, *torch.autograd.grad([part.square().sum() for part in answers], leaves)]


def test_sizes_that_do_not_fit_are_refused():
    gates, memory, x, *affine = made()
    with pytest.raises(ValueError, match=r"gates must be \(2, 12, 4, 5\)"):
        lstm_gates(gates[:, :9], memory, x, *affine)
    with pytest.raises(ValueError, match="one size"):
        lstm_gates(gates, memory, x[:1], *affine)
    with pytest.raises(ValueError, match="gains and biases"):
        lstm_gates(gates, memory, x, affine[2], *affine[1:])


def test_the_kernels_keep_their_promises_in_tritons_interpreter():
    """In a process of its own: TRITON_INTERPRET is read when the kernels are imported."""
    pytest.importorskip("triton", reason="needs triton, which this machine has no build of")
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "--noconftest", "-q", "-p", "no:cacheprovider", str(INTERPRETED)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
