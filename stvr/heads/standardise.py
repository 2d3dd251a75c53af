"""Feature maps in units of what is usual: every channel with mean 0 and deviation 1, its time steps averaged."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stvr.structures import MapSpec

LEAST_SHARE = 0.05  # of the mean deviation: a channel that hardly ever speaks is not blown up


class Standardise(nn.Module):
    """Maps (..., steps x channels) of one endpoint -> (..., channels) float32.

    What is usual is kept in buffers, so a checkpoint has it: `set_usual` sets it.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, spec: MapSpec) -> None:
        super().__init__()
        self.steps = spec.steps
        self.register_buffer("mean", torch.zeros(spec.channels))
        self.register_buffer("deviation", torch.ones(spec.channels))

    def set_usual(self, mean: Tensor, deviation: Tensor) -> None:
        """Both (channels,)."""
        self.mean.copy_(mean)
        self.deviation.copy_(deviation.clamp_min(LEAST_SHARE * float(deviation.mean())).clamp_min(1e-6))

    def calibrate(self, maps: Tensor) -> None:
        """Sets what is usual from training maps (..., steps x channels)."""
        deviation, mean = torch.std_mean(over_steps(maps, self.steps).flatten(0, -2), 0)
        self.set_usual(mean, deviation)

    def forward(self, maps: Tensor) -> Tensor:
        return (over_steps(maps, self.steps) - self.mean) / self.deviation


def over_steps(maps: Tensor, steps: int) -> Tensor:
    """Maps (..., steps x channels), time steps side by side -> (..., channels) float32, their mean."""
    return maps.float().unflatten(-1, (steps, -1)).mean(-2)
