"""A sequence becomes one vector: (B, T, C) -> (B, D), or (B, T, H, W, C) -> (B, D). The menu is TEMPORAL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stvr.config import fill
from stvr.menus import Menu
from stvr.temporal.block import TemporalBlock, TemporalEntry

__all__ = ["TEMPORAL", "TemporalBlock", "TemporalEntry", "build_temporal"]

TEMPORAL: Menu[TemporalEntry] = Menu("temporal block", "stvr.temporal", {
    "mean": "stvr.temporal.relations:MEAN",
    "mlp": "stvr.temporal.relations:MLP",
    "trn": "stvr.temporal.relations:TRN",
    "trn_multiscale": "stvr.temporal.relations:TRN_MULTISCALE",
    "rnn_tanh": "stvr.temporal.recurrences:RNN_TANH",
    "rnn_relu": "stvr.temporal.recurrences:RNN_RELU",
    "lstm": "stvr.temporal.recurrences:LSTM",
    "gru": "stvr.temporal.recurrences:GRU",
    "blstm": "stvr.temporal.recurrences:BLSTM",
    "fcn": "stvr.temporal.convolutions:FCN",
    "fcn3d": "stvr.temporal.convolutions:FCN3D",
    "convlstm": "stvr.temporal.recurrences:CONVLSTM",
}, needs=("options", "build", "least_steps"))  # fmt: skip


def build_temporal(name: str, channels: int, steps: int, options: Mapping[str, Any] | None = None) -> TemporalBlock:
    """The block called `name`, for sequences of `steps` with `channels`; options not given have their defaults.

    LookupError lists the menu; ValueError names an option that the block does not have or a value that does not fit.
    """
    entry = TEMPORAL[name]
    if steps < entry.least_steps:
        raise ValueError(f"the temporal block {name!r} needs at least {entry.least_steps} steps, got {steps}.")
    return entry.build(channels, steps, fill(entry.options, options))
