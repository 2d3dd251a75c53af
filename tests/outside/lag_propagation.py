"""A propagation somebody else wrote: each clip is mixed with the one before. One file, one entry point."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from stvr.config import Options
from stvr.propagation import Propagation, PropagationEntry


class LagOptions(Options):
    share: float = Field(default=0.5, ge=0, le=1)  # of the clip before


class Lag(Propagation):
    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def stream(self, features: Tensor, state: Tensor | None = None, flow: Any = None) -> tuple[Tensor, Tensor]:
        hidden = []
        for clip in features.unbind(1):
            hidden.append(clip if state is None else (1 - self.share) * clip + self.share * state)
            state = clip
        return torch.stack(hidden, 1), features[:, -1]


LAG = PropagationEntry(LagOptions, build=lambda channels, options: Lag(options.share))
