"""TensorFlow's layouts of a layer's weights, each made torch's."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def plain(value: Tensor) -> Tensor:
    return value


def flat(value: Tensor) -> Tensor:
    return value.flatten()


def dense(value: Tensor) -> Tensor:
    """[in, out] or [1, 1, in, out] -> [out, in]."""
    return value.reshape(value.shape[-2:]).T


def conv(value: Tensor) -> Tensor:
    """[kH, kW, in, out] -> [out, in, kH, kW]."""
    return value.permute(3, 2, 0, 1)


def depthwise(value: Tensor) -> Tensor:
    """[kH, kW, in, 1] -> [in, 1, kH, kW]."""
    return value.permute(2, 3, 0, 1)


def xyxy(convert: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The same for box codes, whose outputs come as (ty, tx, th, tw) and leave as (tx, ty, tw, th)."""

    def swapped(value: Tensor) -> Tensor:
        value = convert(value)
        return value.unflatten(0, (-1, 4))[:, [1, 0, 3, 2]].flatten(0, 1)

    return swapped
