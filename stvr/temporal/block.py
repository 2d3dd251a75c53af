"""What a temporal block promises: a sequence in, one vector out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from stvr.config import Options


class TemporalBlock(nn.Module):
    """A sequence (B, T, C), or of maps (B, T, H, W, C) -> a vector (B, width); always the same one in eval mode."""

    width: int

    def forward(self, sequence: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} must define forward().")

    def classifier(self, num_classes: int) -> nn.Module:
        """What makes scores (B, num_classes) of the vector."""
        return nn.Linear(self.width, num_classes)


@dataclass(frozen=True, slots=True)
class TemporalEntry:
    """A block on the menu.

    build: (channels, steps, options) -> the block. on_maps: whether it reads maps, not vectors. least_steps: of a
    sequence that it can read.
    """

    build: Callable[[int, int, Any], TemporalBlock]
    options: type[Options] = Options
    on_maps: bool = False
    least_steps: int = 1
