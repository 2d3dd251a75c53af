"""The plain twin as torch.compile and torch.export see it: in rows of channels, whose strides are never in doubt.

Of maps with channels last torch's fakes do not always know the strides, and a traced view then fails when it runs:
torch 2.14 has `group_norm` on a CPU give contiguous maps where it keeps channels last, and the stride of a batch of one
is each operator's own choice.
"""

from __future__ import annotations

import torch
from torch import Tensor


def lstm_gates(
    gates: Tensor, memory: Tensor, x: Tensor, gate_gain: Tensor, gate_bias: Tensor, memory_gain: Tensor,
    memory_bias: Tensor, forget_bias: float, epsilon: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Sizes and meaning as in reference.py; the answers have channels last in memory."""
    parts = zip(rows(gates).chunk(4, -1), gate_gain.chunk(4), gate_bias.chunk(4), strict=True)
    input_gate, candidate, forget_gate, output_gate = (norm(*part, epsilon) for part in parts)
    update = (input_gate.sigmoid() * candidate.tanh()).to(memory.dtype)
    raw = torch.addcmul(update, (forget_gate + forget_bias).sigmoid().to(memory.dtype), rows(memory))
    new_memory = norm(raw, memory_gain, memory_bias, epsilon)
    hidden = torch.addcmul(rows(x), new_memory.tanh().to(x.dtype), output_gate.sigmoid().to(x.dtype))
    return maps(hidden, memory), maps(new_memory, memory)


def norm(values: Tensor, gain: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """(B, N, C) over N and C jointly; within, in float32 at least, as group_norm is."""
    wide = values.to(torch.promote_types(values.dtype, torch.float32))
    variance, mean = torch.var_mean(wide, (1, 2), correction=0, keepdim=True)
    normal = (wide - mean) * (variance + epsilon).rsqrt()
    return (normal * gain + bias).to(values.dtype)


def rows(maps: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, N, C)"""
    return maps.permute(0, 2, 3, 1).flatten(1, 2)


def maps(rows: Tensor, like: Tensor) -> Tensor:
    """(B, N, C) -> (B, C, H, W)"""
    return rows.unflatten(1, like.shape[-2:]).permute(0, 3, 1, 2)
