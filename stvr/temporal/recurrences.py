"""Blocks that read a sequence step by step: RNN, LSTM, GRU, both ways at once, and an LSTM on maps."""

from __future__ import annotations

from functools import partial

import torch
from pydantic import Field
from torch import Tensor, nn

from stvr.config import Options
from stvr.temporal.block import TemporalBlock, TemporalEntry


class RecurrentOptions(Options):
    """hidden: width of the vector that comes out, of both directions together."""

    hidden: int = Field(default=256, ge=2)


class LastStep(TemporalBlock):
    """What a recurrent network has at the last step."""

    def __init__(self, network: nn.RNNBase) -> None:
        super().__init__()
        self.network, self.width = network, network.hidden_size

    def forward(self, sequence: Tensor) -> Tensor:
        steps: Tensor = self.network(sequence)[0]  # (B, T, width)
        return steps[:, -1]


class BothWays(TemporalBlock):
    """The end of each direction: backwards at the first step, forwards at the last."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        if hidden % 2:
            raise ValueError(f"an LSTM of two directions has half of its width each: wanted an even one, got {hidden}.")
        self.network = nn.LSTM(channels, hidden // 2, batch_first=True, bidirectional=True)
        self.width = hidden

    def forward(self, sequence: Tensor) -> Tensor:
        forwards, backwards = self.network(sequence)[0].chunk(2, -1)  # (B, T, width / 2)
        return torch.cat([backwards[:, 0], forwards[:, -1]], -1)


class MapLSTM(TemporalBlock):
    """An LSTM whose gates are a 3 x 3 convolution (Shi et al. 2015); its last hidden map, averaged."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.gates = nn.Conv2d(channels + hidden, 4 * hidden, 3, padding=1)
        self.width = hidden

    def forward(self, sequence: Tensor) -> Tensor:
        maps = sequence.movedim(-1, 2)  # (B, T, C, H, W)
        hidden = memory = maps.new_zeros(len(maps), self.width, *maps.shape[3:])
        for step in maps.unbind(1):
            into, forget, out, new = self.gates(torch.cat([step, hidden], 1)).chunk(4, 1)
            memory = forget.sigmoid() * memory + into.sigmoid() * new.tanh()
            hidden = out.sigmoid() * memory.tanh()
        return hidden.mean((2, 3))  # (B, width)


def last_step(network: type[nn.LSTM | nn.GRU], channels: int, steps: int, options: RecurrentOptions) -> LastStep:
    return LastStep(network(channels, options.hidden, batch_first=True))


def plain_rnn(nonlinearity: str, channels: int, steps: int, options: RecurrentOptions) -> LastStep:
    return LastStep(nn.RNN(channels, options.hidden, nonlinearity=nonlinearity, batch_first=True))


RNN_TANH = TemporalEntry(partial(plain_rnn, "tanh"), RecurrentOptions)
RNN_RELU = TemporalEntry(partial(plain_rnn, "relu"), RecurrentOptions)
LSTM = TemporalEntry(partial(last_step, nn.LSTM), RecurrentOptions)
GRU = TemporalEntry(partial(last_step, nn.GRU), RecurrentOptions)
BLSTM = TemporalEntry(lambda channels, steps, options: BothWays(channels, options.hidden), RecurrentOptions)
CONVLSTM = TemporalEntry(
    lambda channels, steps, options: MapLSTM(channels, options.hidden), RecurrentOptions, on_maps=True
)
