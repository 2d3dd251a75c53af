"""Convolutions on a CPU that round alike for every batch and every number of threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class AlwaysOneDNN(TorchFunctionMode):
    """Within this context, float32 convolutions on a CPU are computed by oneDNN.

    Left alone, torch computes a single clip, and a kernel of 1 x 1 on one thread, by a matrix product of its own, which
    adds in another order: 0.2 to 0.4 % of I3D's float16 values change with the batch and the number of threads. (It
    is also slower: I3D at 320 pixels takes 1.4 times as long in pairs, 2.6 times one by one.) bfloat16 always goes to
    oneDNN.
    """

    def __torch_function__(
        self, function: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # fmt: skip
        if function in (F.conv2d, F.conv3d):
            return convolve(function, *args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))


def convolve(
    otherwise: Callable[..., Tensor], input: Tensor, weight: Tensor, bias: Tensor | None = None,
    stride: int | Sequence[int] = 1, padding: int | Sequence[int] | str = 0, dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:  # fmt: skip
    """Like F.conv2d and F.conv3d, but always by oneDNN; `otherwise` is called where oneDNN cannot be used."""
    ours = type(input) is Tensor and input.device.type == "cpu" and input.dtype == torch.float32  # not a traced one
    if not ours or input.ndim != weight.ndim or isinstance(padding, str) or not usable():
        return otherwise(input, weight, bias, stride, padding, dilation, groups)
    axes = input.ndim - 2
    sizes = [(each,) * axes if isinstance(each, int) else tuple(each) for each in (padding, stride, dilation)]
    convolution: Tensor = torch.ops.aten.mkldnn_convolution(input, weight, bias, *sizes, groups)
    return convolution


def usable() -> bool:
    """Whether this torch has oneDNN and it is switched on."""
    return bool(torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled)
