"""The plain convolutional LSTM (Shi et al. 2015, without peepholes; Feng et al. 2019, eq. 1)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class LSTMState(NamedTuple):
    """What a cell carries: hidden and memory, each (B, C, H, W)."""

    hidden: Tensor
    memory: Tensor


class ConvLSTMCell(nn.Module):
    """One clip's step, on maps (B, in_channels, H, W) -> hidden (B, channels, H, W) and the state to carry.

    One 3x3 convolution over input and hidden state together. Its outputs are, in this order, input gate, forget gate,
    candidate, output gate: that of torch.nn.LSTM and of Keras' ConvLSTM2D, whose numbers it gives.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.gates = nn.Conv2d(in_channels + channels, 4 * channels, 3, padding=1)
        nn.init.xavier_uniform_(self.gates.weight)
        nn.init.zeros_(self.gates.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, state: LSTMState | None = None) -> tuple[Tensor, LSTMState]:
        if state is None:
            empty = x.new_zeros(len(x), self.channels, *x.shape[2:])
            state = LSTMState(empty, empty)
        gates = self.gates(torch.cat([x, state.hidden], 1))
        input_gate, forget_gate, candidate, output_gate = gates.chunk(4, 1)
        memory = forget_gate.sigmoid() * state.memory + input_gate.sigmoid() * candidate.tanh()
        hidden = output_gate.sigmoid() * memory.tanh()
        return hidden, LSTMState(hidden, memory)
