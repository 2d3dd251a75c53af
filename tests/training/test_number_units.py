"""What a run computes in where nothing is said, and that torch's switches are put back."""

from __future__ import annotations

import pytest
import torch

from stvr.training import number_units
from stvr.training.loop import LoopOptions
from stvr.training.number_units import fast_units, with_precision


@pytest.mark.parametrize(("device", "native", "precision"), [
    ("cpu", True, "float32"), ("cuda", True, "bfloat16"), ("cuda:1", False, "float32"),
])  # fmt: skip
def test_auto_is_bfloat16_on_a_gpu_that_has_it(monkeypatch, device, native, precision):
    monkeypatch.setattr(number_units, "has_bfloat16", lambda device: native)
    assert with_precision(LoopOptions(), device).precision == precision
    assert with_precision(LoopOptions(precision="float32"), device).precision == "float32"


def switches() -> tuple[object, ...]:
    cudnn = torch.backends.cudnn
    return (torch.get_float32_matmul_precision(), cudnn.benchmark, cudnn.allow_tf32,
            torch.are_deterministic_algorithms_enabled())


@pytest.mark.parametrize(("device", "deterministic", "inside"), [
    ("cuda", False, ("high", True, True, False)), ("cuda", True, ("highest", False, False, True)), ("cpu", True, None),
])  # fmt: skip
def test_the_switches_are_set_for_a_gpu_and_put_back_after_an_error(device, deterministic, inside):
    before = switches()

    def fails():
        with fast_units(device, deterministic):
            assert switches() == (inside or before)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fails()
    assert switches() == before
