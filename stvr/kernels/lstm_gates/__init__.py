"""The pointwise part of the Warp LSTM's step: five layer norms, the gates, the new memory and hidden state.

float64 runs the plain twin (reference.py), which defines the result; so does a CPU, one item at a time; torch.compile
traces both in another form (traced.py). The rest runs the Triton kernels of kernel.py, through the operators of ops.py.
"""

from __future__ import annotations

import importlib.util

import torch
from torch import Tensor

from ..refusals import refuse_forward_mode
from . import reference, traced

__all__ = ["lstm_gates"]

FUSED_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
MAX_CHANNELS = 1024  # a row of one cell is a tile's width: more would spill registers
HAS_TRITON = importlib.util.find_spec("triton") is not None


def lstm_gates(
    gates: Tensor,
    memory: Tensor,
    x: Tensor,
    gate_gain: Tensor,
    gate_bias: Tensor,
    memory_gain: Tensor,
    memory_bias: Tensor,
    *,
    forget_bias: float = 1.0,
    epsilon: float = 1e-12,
) -> tuple[Tensor, Tensor]:
    """(hidden, memory) after one clip (Feng et al. 2019, eq. 1, with the released program's layer norms and skip).

    gates (B, 4C, H, W) before any activation, in the order input, candidate, forget, output; memory and x
    (B, C, H, W); gains and biases of the norms: gate_* (4C), memory_* (C). Each gate and the memory is normalised
    over its H, W and C jointly:

        memory' = norm(sigmoid(norm(forget) + forget_bias) memory + sigmoid(norm(input)) tanh(norm(candidate)))
        hidden' = tanh(memory') sigmoid(norm(output)) + x

    Takes any memory format; channels_last is fastest, and CUDA returns it. float32, bfloat16 and float16 are fused on
    CUDA, with statistics in float32; float64, and more than 1,024 channels, run the plain twin. Raises ValueError when
    sizes do not fit.
    """
    check(gates, memory, x, gate_gain, gate_bias, memory_gain, memory_bias)
    parameters = (gate_gain, gate_bias, memory_gain, memory_bias)
    if gates.is_cuda and HAS_TRITON and can_fuse(gates, memory, x):
        from . import ops

        refuse_forward_mode("lstm_gates", [gates, memory, x, *parameters])
        return ops.lstm_gates(gates, memory, x, *parameters, forget_bias, epsilon)
    if torch.compiler.is_compiling():
        return traced.lstm_gates(gates, memory, x, *parameters, forget_bias, epsilon)
    if gates.device.type == "cpu" and len(gates) > 1:
        return item_by_item(gates, memory, x, *parameters, forget_bias, epsilon)
    return reference.lstm_gates(gates, memory, x, *parameters, forget_bias, epsilon)


def can_fuse(gates: Tensor, memory: Tensor, x: Tensor) -> bool:
    return memory.shape[1] <= MAX_CHANNELS and all(part.dtype in FUSED_DTYPES for part in (gates, memory, x))


def item_by_item(gates: Tensor, memory: Tensor, x: Tensor, *rest: Tensor | float) -> tuple[Tensor, Tensor]:
    """The plain twin, one item at a time: temporaries stay small; 1.5 times as fast on 8 x 1024 x 20 x 20."""
    items = zip(gates.split(1), memory.split(1), x.split(1), strict=True)
    answers = [reference.lstm_gates(*item, *rest) for item in items]  # type: ignore[arg-type]
    hidden, memories = zip(*answers, strict=True)
    return torch.cat(hidden), torch.cat(memories)


def check(
    gates: Tensor, memory: Tensor, x: Tensor, gate_gain: Tensor, gate_bias: Tensor, memory_gain: Tensor,
    memory_bias: Tensor,
) -> None:  # fmt: skip
    if memory.dim() != 4 or memory.shape != x.shape or not memory.numel():
        raise ValueError(f"memory and x must be (B, C, H, W) of one size, not {tuple(memory.shape)} and "
                         f"{tuple(x.shape)}.")
    batch, channels, height, width = memory.shape
    if gates.shape != (batch, 4 * channels, height, width):
        raise ValueError(f"gates must be {(batch, 4 * channels, height, width)} to go with a memory "
                         f"{tuple(memory.shape)}, not {tuple(gates.shape)}.")
    sizes = [tuple(part.shape) for part in (gate_gain, gate_bias, memory_gain, memory_bias)]
    wanted = [(4 * channels,), (4 * channels,), (channels,), (channels,)]
    if sizes != wanted:
        raise ValueError(f"gains and biases must be {wanted} for {channels} channels, not {sizes}.")
