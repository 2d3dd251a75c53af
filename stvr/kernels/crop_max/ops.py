"""Crop and maximum as torch.library operators: autograd, torch.compile and torch.export see them whole.

Each runs on the backend that BACKENDS names for its device. They can be differentiated once. They do not support vmap:
their inputs have a batch dimension already.
"""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType
from typing import Any, NoReturn

import torch
from torch import Tensor

from .reference import BINS

PLAIN, TRITON = f"{__package__}.cpu", f"{__package__}.launch"
BACKENDS = {"cpu": PLAIN, "cuda": TRITON if importlib.util.find_spec("triton") else PLAIN}


def backend_of(device: torch.device) -> ModuleType:
    """The module with the functions below; torch's "cuda" includes AMD's devices."""
    return importlib.import_module(BACKENDS.get(device.type, PLAIN))


@torch.library.custom_op("stvr::crop_max", mutates_args=())
def crop_max(maps: Tensor, boxes: Tensor, owners: Tensor | None, keep: bool) -> tuple[Tensor, Tensor]:
    """maps (N, H, W, C), boxes (R, 4), owners (R,) or None for equally many boxes a map -> (R, 7, 7, C), and, with
    `keep`, for the backward which of a bin's four samples was taken, (R, 7, 7, C) uint8
    """
    return backend_of(maps.device).crop_max(maps, boxes, owners, keep)


@crop_max.register_fake
def _(maps: Tensor, boxes: Tensor, owners: Tensor | None, keep: bool) -> tuple[Tensor, Tensor]:
    size = (len(boxes), BINS, BINS, maps.shape[-1])
    return maps.new_empty(size), maps.new_empty(size if keep else (0,), dtype=torch.uint8)


@torch.library.custom_op("stvr::crop_max_backward", mutates_args=())
def crop_max_backward(
    grad: Tensor, which: Tensor, boxes: Tensor, owners: Tensor | None, num_maps: int, height: int, width: int
) -> Tensor:
    return backend_of(grad.device).crop_max_backward(grad, which, boxes, owners, num_maps, height, width)


@crop_max_backward.register_fake
def _(
    grad: Tensor, which: Tensor, boxes: Tensor, owners: Tensor | None, num_maps: int, height: int, width: int
) -> Tensor:
    return grad.new_empty(num_maps, height, width, grad.shape[-1])


def keep_for_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    maps, boxes, owners, _ = inputs
    _, which = output
    ctx.mark_non_differentiable(which)
    ctx.save_for_backward(which, boxes, owners)
    ctx.sizes = maps.shape[:3]


def backward(ctx: Any, grad: Tensor, _: Any) -> tuple[Tensor, None, None, None]:
    return torch.ops.stvr.crop_max_backward(grad, *ctx.saved_tensors, *ctx.sizes), None, None, None


def refuse_vmap(*_: Any) -> NoReturn:
    raise NotImplementedError(
        "stvr's crop_max does not support vmap: its inputs have a batch dimension already, (N, H, W, C) and (R, 4). "
        "Fold the mapped dimension into N and R."
    )


crop_max.register_autograd(backward, setup_context=keep_for_backward)
crop_max.register_vmap(refuse_vmap)
crop_max_backward.register_vmap(refuse_vmap)
