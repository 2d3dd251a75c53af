"""What a training run computes in: its precision where none is named, and the switches of torch for a GPU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

from stvr.backbones.runtimes import has_bfloat16
from stvr.training.loop import LoopOptions

Some = TypeVar("Some", bound=LoopOptions)


def with_precision(options: Some, device: str) -> Some:
    """The same options with "auto" decided: bfloat16 on a GPU that multiplies it natively, else float32.

    On a CPU with bfloat16 a small step takes 0.86 of the time, which other last bits on every machine are not worth.
    """
    if options.precision != "auto":
        return options
    native = device.startswith("cuda") and has_bfloat16(torch.device(device))
    return options.model_copy(update={"precision": "bfloat16" if native else "float32"})


@contextmanager
def fast_units(device: str, deterministic: bool) -> Iterator[None]:
    """On a GPU float32 products run on its TF32 units and cuDNN tries its algorithms; afterwards all is as before.

    deterministic: neither, and torch refuses what it cannot repeat bit for bit. A CPU always repeats itself.
    """
    if not device.startswith("cuda"):
        yield
        return
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32
    repeats = torch.are_deterministic_algorithms_enabled()
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_float32_matmul_precision("highest" if deterministic else "high")
    torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = not deterministic
    torch.use_deterministic_algorithms(deterministic or repeats)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = before[1:]
        torch.use_deterministic_algorithms(repeats)
