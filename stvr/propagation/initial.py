"""The weights that layers of the released program begin with."""

from __future__ import annotations

from torch import Tensor, nn


def xavier_uniform_(weight: Tensor, fan_in: int, fan_out: int) -> Tensor:
    """TensorFlow's xavier_initializer, whose fans count differently from torch's on depthwise weights."""
    bound = (6.0 / (fan_in + fan_out)) ** 0.5
    return nn.init.uniform_(weight, -bound, bound)
