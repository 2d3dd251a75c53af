"""Blocks that see all steps of a sequence at once: mean, MLP, and the relations of TRN (Zhou et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from math import comb
from random import Random

import torch
from pydantic import Field
from torch import Tensor, nn

from stvr.config import Options
from stvr.temporal.block import TemporalBlock, TemporalEntry


class MLPOptions(Options):
    hidden: int = Field(default=512, ge=1)
    dropout: float = Field(default=0.2, ge=0, lt=1)


class TRNOptions(Options):
    hidden: int = Field(default=512, ge=1)


class MultiScaleOptions(Options):
    """relations: of a scale, how many of its ordered subsets count."""

    hidden: int = Field(default=256, ge=1)
    relations: int = Field(default=3, ge=1)


class Mean(TemporalBlock):
    """The mean over the steps, as TSN (Wang et al. 2016) takes it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.width = channels

    def forward(self, sequence: Tensor) -> Tensor:
        return sequence.mean(1)


class AllSteps(TemporalBlock):
    """One hidden layer over all steps side by side. dropout: of the hidden layer, before its ReLU."""

    def __init__(self, channels: int, steps: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.width = hidden
        self.layers = nn.Sequential(
            nn.Flatten(), nn.ReLU(), nn.Linear(steps * channels, hidden), nn.Dropout(dropout), nn.ReLU()
        )

    def forward(self, sequence: Tensor) -> Tensor:
        vector: Tensor = self.layers(sequence)  # (B, hidden)
        return vector


class MultiScale(TemporalBlock):
    """Relations of steps, steps - 1, ..., 2 steps in order, each scale with its own layer and its own classifier.

    In training, each scale draws `relations` of its subsets anew for every batch; in eval mode it takes subsets that
    lie evenly among all, so that scores do not change from run to run. The program draws in both.
    """

    def __init__(self, channels: int, steps: int, hidden: int, relations: int) -> None:
        super().__init__()
        self.steps, self.hidden, self.relations = steps, hidden, relations
        self.scales = range(steps, 1, -1)
        self.width = hidden * len(self.scales)
        self.layers = nn.ModuleList(AllSteps(channels, scale, hidden) for scale in self.scales)

    def forward(self, sequence: Tensor) -> Tensor:
        return torch.cat([torch.stack([layer(sequence[:, list(subset)]) for subset in self.subsets(scale)]).sum(0)
                          for scale, layer in zip(self.scales, self.layers, strict=True)], 1)  # (B, width)

    def subsets(self, scale: int) -> list[tuple[int, ...]]:
        every = comb(self.steps, scale)
        number = min(self.relations, every)
        if self.training:
            ranks: Sequence[int] = Random(int(torch.randint(2**62, ()))).sample(range(every), number)
        else:
            ranks = [(2 * k + 1) * every // (2 * number) for k in range(number)]
        return [subset_of(self.steps, scale, rank) for rank in ranks]

    def classifier(self, num_classes: int) -> nn.Module:
        return SumOfScales(self.hidden, len(self.scales), num_classes)


class SumOfScales(nn.Module):
    """A classifier for each scale; their scores are added."""

    def __init__(self, hidden: int, num_scales: int, num_classes: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.scales = nn.ModuleList(nn.Linear(hidden, num_classes) for _ in range(num_scales))

    def forward(self, vector: Tensor) -> Tensor:
        parts = vector.split(self.hidden, 1)
        return torch.stack([scale(part) for scale, part in zip(self.scales, parts, strict=True)]).sum(0)


def subset_of(steps: int, size: int, rank: int) -> tuple[int, ...]:
    """Subset `rank` of those with `size` of the numbers 0 to steps - 1, in the order of itertools.combinations.

    Of 32 steps there are 601 million with 16: too many to list.
    """
    subset: list[int] = []
    for step in count():
        if len(subset) == size:
            return tuple(subset)
        starting_here = comb(steps - step - 1, size - len(subset) - 1)
        if rank < starting_here:
            subset.append(step)
        else:
            rank -= starting_here
    raise AssertionError


MEAN = TemporalEntry(lambda channels, steps, options: Mean(channels))
MLP = TemporalEntry(
    lambda channels, steps, options: AllSteps(channels, steps, options.hidden, options.dropout), MLPOptions
)
TRN = TemporalEntry(lambda channels, steps, options: AllSteps(channels, steps, options.hidden), TRNOptions)
TRN_MULTISCALE = TemporalEntry(
    lambda channels, steps, options: MultiScale(channels, steps, options.hidden, options.relations),
    MultiScaleOptions, least_steps=2,
)  # fmt: skip
