"""The Warp LSTM cell: a convolutional LSTM whose state is warped onto the new clip first (Feng et al. 2019, eq. 4).

Where paper and released program differ this is the program: layer norm over (H, W, C) on each gate and on the
memory, a forget bias of 1, a separable 3x3 to a bottleneck, and a carried hidden state that includes the skip.
The form "plain" is equation 4 to the letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stvr.kernels import lstm_gates, spline_warp
from stvr.propagation.conv_lstm import ConvLSTMCell, LSTMState

LAYER_NORM_EPSILON = 1e-12  # tf.contrib.layers.layer_norm
NUM_CONTROL_POINTS_A_SIDE = 3  # the program: cells 5, 10, 15 of 20 in both directions


class WarpLSTMCell(nn.Module):
    """One clip's step, on maps (B, C, H, W) -> hidden (B, C, H, W) and the state to carry.

    warp: False makes it the paper's ConvLSTM. order: of the spline. form: "program", or "plain": after the warp the
    gates of `ConvLSTMCell`, and nothing else (then bottleneck, norm and forget_bias say nothing). norm: "layer" as
    the program, or "none".
    """

    def __init__(
        self,
        channels: int,
        *,
        bottleneck: int = 128,
        warp: bool = True,
        order: int = 2,
        norm: Literal["layer", "none"] = "layer",
        forget_bias: float = 1.0,
        form: Literal["program", "plain"] = "program",
    ) -> None:
        super().__init__()
        self.channels, self.order, self.norm, self.forget_bias = channels, order, norm, forget_bias
        both = 2 * channels
        self.offsets = SeparableOffsets(both) if warp else None
        self.plain = ConvLSTMCell(channels, channels) if form == "plain" else None
        if self.plain is not None:
            return
        self.depthwise = nn.Conv2d(both, both, 3, padding=1, groups=both, bias=False)
        self.pointwise = nn.Conv2d(both, bottleneck, 1)
        self.expand = nn.Conv2d(bottleneck, 4 * channels, 1)
        self.gate_norm: nn.Module = nn.Identity()
        self.memory_norm: nn.Module = nn.Identity()
        if norm == "layer":
            self.gate_norm = nn.GroupNorm(4, 4 * channels, eps=LAYER_NORM_EPSILON)  # each gate over (H, W, C)
            self.memory_norm = nn.GroupNorm(1, channels, eps=LAYER_NORM_EPSILON)
        xavier_uniform_(self.depthwise.weight, 9 * both, 9)
        xavier_uniform_(self.pointwise.weight, both, bottleneck)
        xavier_uniform_(self.expand.weight, bottleneck, 4 * channels)
        for layer in (self.pointwise, self.expand):
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(
        self, x: Tensor, state: LSTMState | None = None, *, seen: Tensor | None = None
    ) -> tuple[Tensor, LSTMState]:
        """seen: what `look` says of `x`, where that was asked ahead for many clips."""
        hidden, memory = self.align(x, *(state or (torch.zeros_like(x), torch.zeros_like(x))))
        if self.plain is not None:
            plainly: tuple[Tensor, LSTMState] = self.plain(x, LSTMState(hidden, memory))
            return plainly
        seen = self.look(x) if seen is None else seen
        assert seen is not None  # the plain form alone has nothing to say ahead
        gates = self.gates(seen, hidden)
        if isinstance(self.gate_norm, nn.GroupNorm) and isinstance(self.memory_norm, nn.GroupNorm):
            answer = lstm_gates(
                gates, memory, x,
                self.gate_norm.weight, self.gate_norm.bias, self.memory_norm.weight, self.memory_norm.bias,
                forget_bias=self.forget_bias, epsilon=LAYER_NORM_EPSILON,
            )  # fmt: skip
            return answer[0], LSTMState(*answer)
        input_gate, candidate, forget_gate, output_gate = gates.chunk(4, 1)
        memory = (forget_gate + self.forget_bias).sigmoid() * memory + input_gate.sigmoid() * candidate.tanh()
        hidden = memory.tanh() * output_gate.sigmoid() + x  # the skip is carried on
        return hidden, LSTMState(hidden, memory)

    def look(self, clips: Tensor) -> Tensor | None:
        """What the gates read of clips alone, (N, C, H, W) -> (N, H, W, bottleneck); None in the plain form.

        The program convolves clip and hidden state side by side. Both convolutions are linear, with nothing between
        them, so the clips' half needs no state: all clips of a sequence go through it at once.
        """
        if self.plain is not None:
            return None
        weight = self.depthwise.weight[: self.channels]
        maps = F.conv2d(clips, weight, padding=1, groups=self.channels).permute(0, 2, 3, 1)
        return F.linear(maps, self.pointwise.weight[:, : self.channels, 0, 0], self.pointwise.bias)

    def gates(self, seen: Tensor, hidden: Tensor) -> Tensor:
        """The hidden state's half and what was seen (B, H, W, bottleneck) -> (B, 4C, H, W), channels last."""
        weight = self.depthwise.weight[self.channels :]
        maps = F.conv2d(hidden, weight, padding=1, groups=self.channels).permute(0, 2, 3, 1)
        narrow = torch.addmm(
            seen.flatten(0, 2), maps.flatten(0, 2), self.pointwise.weight[:, self.channels :, 0, 0].T
        )  # (B * H * W, bottleneck)
        wide = F.linear(narrow, self.expand.weight[:, :, 0, 0], self.expand.bias)
        return wide.reshape(*maps.shape[:3], -1).permute(0, 3, 1, 2)

    def align(self, x: Tensor, hidden: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Brings the state of the last clip to where things are in this one."""
        if self.offsets is None:
            return hidden, memory
        points = control_points(*x.shape[-2:]).to(x.device)
        hidden, memory = spline_warp([hidden, memory], points, self.displacement(x, hidden), order=self.order)
        return hidden, memory

    def displacement(self, x: Tensor, hidden: Tensor) -> Tensor:
        """How far each control point moves between two clips, (B, 9, 2) in cells, (y, x)."""
        if self.offsets is None:
            raise ValueError("this cell does not warp: it was built with warp=False.")
        return self.offsets([x, hidden], control_points(*x.shape[-2:]).to(x.device))


class SeparableOffsets(nn.Module):
    """Where each control point goes: a depthwise then a pointwise 1x1, at the control points alone."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Parameter(torch.empty(channels))
        self.pointwise = nn.Linear(channels, 2)
        xavier_uniform_(self.depthwise, channels, 1)
        xavier_uniform_(self.pointwise.weight, channels, 2)
        nn.init.zeros_(self.pointwise.bias)

    def forward(self, maps: Sequence[Tensor], points: Tensor) -> Tensor:
        """maps (B, C, H, W) each, side by side; points (N, 2) of whole cells -> displacement (B, N, 2), (y, x)."""
        rows, columns = points.long().unbind(1)
        sites = torch.cat([each[:, :, rows, columns] for each in maps], 1)  # (B, C, N)
        return self.pointwise(sites.mT * self.depthwise)


def control_points(height: int, width: int) -> Tensor:
    """A 3x3 grid of whole cells, row-major (9, 2) float32 (y, x): cells 5, 10, 15 of 20."""
    steps = torch.arange(1, NUM_CONTROL_POINTS_A_SIDE + 1)
    parts = NUM_CONTROL_POINTS_A_SIDE + 1
    return torch.cartesian_prod(steps * height // parts, steps * width // parts).float()


def xavier_uniform_(weight: Tensor, fan_in: int, fan_out: int) -> Tensor:
    """TensorFlow's xavier_initializer, whose fans count differently from torch's on depthwise weights."""
    bound = (6.0 / (fan_in + fan_out)) ** 0.5
    return nn.init.uniform_(weight, -bound, bound)
