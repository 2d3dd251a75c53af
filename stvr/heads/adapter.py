"""From stored features to what a head reads."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Project(nn.Module):
    """Maps (..., C_in) -> (..., width): each channel brought to unit spread, then a linear map.

    The spread is measured once, on training features, by `calibrate`; without a bias, so that zero stays zero and
    the strength of a motion stays a factor that "rms" contrast can divide out.
    """

    spread: Tensor

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.register_buffer("spread", torch.ones(channels))
        self.linear = nn.Linear(channels, width, bias=False)
        nn.init.orthogonal_(self.linear.weight)

    def calibrate(self, maps: Tensor) -> None:
        """Sets the spread of every channel from maps (..., C_in)."""
        spread = maps.float().flatten(0, -2).std(0)
        self.spread.copy_(spread.clamp_min(1e-3 * float(spread.max()) + 1e-12))

    def forward(self, maps: Tensor) -> Tensor:
        return self.linear(maps / self.spread.to(maps.dtype))
