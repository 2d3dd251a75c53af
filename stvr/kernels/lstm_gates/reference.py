"""What the pointwise part of the Warp LSTM's step means: plain PyTorch, differentiable, exact in float64."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def lstm_gates(
    gates: Tensor, memory: Tensor, x: Tensor, gate_gain: Tensor, gate_bias: Tensor, memory_gain: Tensor,
    memory_bias: Tensor, forget_bias: float, epsilon: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Sizes as `stvr.kernels.lstm_gates`. Each gate, then the memory, is normalised over (H, W, C) jointly."""
    normal = F.group_norm(gates, 4, gate_gain.to(gates.dtype), gate_bias.to(gates.dtype), epsilon)
    input_gate, candidate, forget_gate, output_gate = normal.chunk(4, 1)
    update = input_gate.sigmoid() * candidate.tanh()
    memory = torch.addcmul(update.to(memory.dtype), (forget_gate + forget_bias).sigmoid().to(memory.dtype), memory)
    memory = F.group_norm(memory, 1, memory_gain.to(memory.dtype), memory_bias.to(memory.dtype), epsilon)
    return torch.addcmul(x, memory.tanh().to(x.dtype), output_gate.sigmoid().to(x.dtype)), memory
