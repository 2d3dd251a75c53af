"""The gates of a convolutional LSTM: the released program's, and the paper's equation to the letter."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stvr.kernels import lstm_gates
from stvr.propagation.cell import Gates, LSTMState
from stvr.propagation.initial import xavier_uniform_

LAYER_NORM_EPSILON = 1e-12  # tf.contrib.layers.layer_norm


class BottleneckGates(Gates):
    """The gates of the program of Feng et al. 2019, where it differs from their equation 1.

    A separable 3x3 to a bottleneck, layer norm over (H, W, C) on each gate and on the memory, a forget bias of 1, and a
    hidden state that includes the skip. The gates are in the order input, candidate, forget, output. norm: "layer" as
    in the program, or "none".
    """

    def __init__(
        self,
        channels: int,
        *,
        bottleneck: int = 128,
        norm: Literal["layer", "none"] = "layer",
        forget_bias: float = 1.0,
    ) -> None:
        super().__init__(channels)
        self.forget_bias = forget_bias
        both = 2 * channels
        self.depthwise = nn.Conv2d(both, both, 3, padding=1, groups=both, bias=False)
        self.pointwise = nn.Conv2d(both, bottleneck, 1)
        self.expand = nn.Conv2d(bottleneck, 4 * channels, 1)
        layered = norm == "layer"  # each gate, and the memory, over (H, W, C)
        self.gate_norm = nn.GroupNorm(4, 4 * channels, eps=LAYER_NORM_EPSILON) if layered else None
        self.memory_norm = nn.GroupNorm(1, channels, eps=LAYER_NORM_EPSILON) if layered else None
        xavier_uniform_(self.depthwise.weight, 9 * both, 9)
        xavier_uniform_(self.pointwise.weight, both, bottleneck)
        xavier_uniform_(self.expand.weight, bottleneck, 4 * channels)
        for layer in (self.pointwise, self.expand):
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, state: LSTMState, seen: Tensor | None = None) -> LSTMState:
        gates = self.combine(self.look(x) if seen is None else seen, state.hidden)
        if self.gate_norm is not None and self.memory_norm is not None:
            return LSTMState(*lstm_gates(
                gates, state.memory, x,
                self.gate_norm.weight, self.gate_norm.bias, self.memory_norm.weight, self.memory_norm.bias,
                forget_bias=self.forget_bias, epsilon=LAYER_NORM_EPSILON,
            ))  # fmt: skip
        input_gate, candidate, forget_gate, output_gate = gates.chunk(4, 1)
        kept = (forget_gate + self.forget_bias).sigmoid() * state.memory
        memory = kept + input_gate.sigmoid() * candidate.tanh()
        hidden = memory.tanh() * output_gate.sigmoid() + x  # the skip is carried on
        return LSTMState(hidden, memory)

    def look(self, clips: Tensor) -> Tensor:
        """The clips' half of the gates: (N, C, H, W) -> (N, H, W, bottleneck).

        The program convolves clip and hidden state side by side. Both convolutions are linear, with nothing between
        them, so the clips' half needs no state: all clips of a sequence go through it at once.
        """
        weight = self.depthwise.weight[: self.channels]
        maps = F.conv2d(clips, weight, padding=1, groups=self.channels).permute(0, 2, 3, 1)
        return F.linear(maps, self.pointwise.weight[:, : self.channels, 0, 0], self.pointwise.bias)

    def combine(self, seen: Tensor, hidden: Tensor) -> Tensor:
        """Both halves, before any norm: seen (B, H, W, bottleneck) and hidden (B, C, H, W) -> (B, 4C, H, W)."""
        weight = self.depthwise.weight[self.channels :]
        maps = F.conv2d(hidden, weight, padding=1, groups=self.channels).permute(0, 2, 3, 1)
        narrow = torch.addmm(
            seen.flatten(0, 2), maps.flatten(0, 2), self.pointwise.weight[:, self.channels :, 0, 0].T
        )  # (B * H * W, bottleneck)
        wide = F.linear(narrow, self.expand.weight[:, :, 0, 0], self.expand.bias)
        return wide.reshape(*maps.shape[:3], -1).permute(0, 3, 1, 2)  # channels last in memory


class PlainGates(Gates):
    """Equation 1 of Feng et al. 2019 (Shi et al. 2015, without peepholes), on x (B, in_channels, H, W).

    One 3x3 convolution over clip and hidden state together. Its outputs are in the order input gate, forget gate,
    candidate, output gate, as in torch.nn.LSTM and Keras' ConvLSTM2D, and the results are theirs.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__(channels)
        self.convolution = nn.Conv2d(in_channels + channels, 4 * channels, 3, padding=1)
        nn.init.xavier_uniform_(self.convolution.weight)
        nn.init.zeros_(self.convolution.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, state: LSTMState, seen: Tensor | None = None) -> LSTMState:
        gates = self.convolution(torch.cat([x, state.hidden], 1))
        input_gate, forget_gate, candidate, output_gate = gates.chunk(4, 1)
        memory = forget_gate.sigmoid() * state.memory + input_gate.sigmoid() * candidate.tanh()
        return LSTMState(output_gate.sigmoid() * memory.tanh(), memory)
