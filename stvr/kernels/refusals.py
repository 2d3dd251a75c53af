"""What the hand-written operators cannot do, said before they would do it wrongly."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual


def refuse_forward_mode(name: str, tensors: Iterable[Tensor]) -> None:
    """NotImplementedError where one of the tensors carries a tangent: an operator without one would drop it."""
    if torch.compiler.is_compiling():
        return
    if any(unpack_dual(tensor).tangent is not None for tensor in tensors):
        raise NotImplementedError(f"stvr's {name} does not support forward-mode differentiation (jvp, jacfwd). Use "
                                  "backward (grad, vjp, jacrev), or float64, which runs the plain twin.")
