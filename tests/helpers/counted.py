"""Counts what the host asks of a device, on "meta" tensors, which have sizes and no numbers.

What needs their numbers (`item`, `nonzero`, an index that is a mask, a copy to the host) raises there, and what comes
from the host is counted: both would make the host wait for a GPU.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

MADE_OF_NUMBERS = (torch.tensor, torch.as_tensor, torch.Tensor.new_tensor, torch.asarray)


class Counted(ExitStack):
    """By name. calls: of operators that do something there. views: of those that only look at a tensor in another way.

    from_host: what brings numbers to the device.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.views: Counter[str] = Counter()
        self.from_host: Counter[str] = Counter()

    def __enter__(self) -> Counted:
        super().__enter__()
        self.enter_context(Operators(self))
        self.enter_context(Constants(self))
        return self


class Operators(TorchDispatchMode):
    def __init__(self, counted: Counted) -> None:
        super().__init__()
        self.counted = counted

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if "meta" in devices_of((args, kwargs, answer)):
            (self.counted.views if func.is_view else self.counted.calls)[name] += 1
            if "cpu" in devices_of((args, kwargs)):
                self.counted.from_host[name] += 1
        return answer


class Constants(TorchFunctionMode):
    """They are no operators on "meta"."""

    def __init__(self, counted: Counted) -> None:
        super().__init__()
        self.counted = counted

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        if func in MADE_OF_NUMBERS and "meta" in devices_of(answer):
            self.counted.from_host[func.__name__] += 1
        return answer


def devices_of(values: Any) -> set[str]:
    return {leaf.device.type for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)}
