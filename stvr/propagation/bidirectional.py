"""Features travel both ways: from earlier clips to later ones, and within a window back again."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from stvr.propagation.lstm import LSTMOptions, WarpLSTMOptions, conv_lstm, warp_lstm
from stvr.propagation.propagation import Propagation, PropagationEntry
from stvr.propagation.recurrent import Recurrent


class BidirectionalOptions(LSTMOptions):
    """cell: of both recurrences. window: clips that see one another, from the first of a reference on."""

    cell: Literal["warp_lstm", "conv_lstm"] = "warp_lstm"
    window: int = Field(default=8, ge=2)


class Bidirectional(Propagation):
    """The mean of two recurrences. The one that runs backwards begins anew at the end of every window.

    So a clip learns of no clip beyond its window, and the answer is the same however the clips come, as long as they
    come in whole windows.
    """

    def __init__(self, onwards: Recurrent, backwards: Recurrent, window: int) -> None:
        super().__init__()
        self.onwards, self.backwards, self.window = onwards, backwards, window

    def stream(self, features: Tensor, state: Any = None, flow: Tensor | None = None) -> tuple[Tensor, Any]:
        if not features.shape[1]:
            return features, state
        ahead, state = self.onwards.stream(features, state)
        behind = [self.backwards(part.flip(1)).flip(1) for part in features.split(self.window, 1)]
        return (ahead + torch.cat(behind, 1)) / 2, state


def bidirectional(channels: int, options: BidirectionalOptions) -> Bidirectional:
    own = options.model_dump(exclude={"cell", "window"})

    def recurrence() -> Recurrent:
        if options.cell == "conv_lstm":
            return conv_lstm(channels, LSTMOptions(**own))
        return warp_lstm(channels, WarpLSTMOptions(**own))

    return Bidirectional(recurrence(), recurrence(), options.window)


BIDIRECTIONAL = PropagationEntry(BidirectionalOptions, bidirectional)
