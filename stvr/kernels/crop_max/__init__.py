"""Regions of feature maps: 14 x 14 samples of each box, and the largest of every 2 x 2 of them, in one pass.

float64 runs the plain twin (reference.py), which defines the result. The rest runs cpu.py or, on a GPU, the Triton
kernels of kernel.py, through the operators of ops.py.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..refusals import refuse_forward_mode
from . import ops, reference
from .cpu import owners_of

__all__ = ["crop_max"]


def crop_max(maps: Tensor, boxes: Tensor, owners: Tensor | None = None) -> Tensor:
    """What is in boxes of maps, (R, 7, 7, C): TensorFlow's `crop_and_resize` to 14 x 14, then a 2 x 2 maximum.

    maps (N, H, W, C) of any floating dtype; boxes (R, 4) xyxy, as shares of the map: 0 and 1 are the centres of its
    outermost cells. Samples outside are 0, and edges may be the wrong way round. owners (R,), integers: the map of each
    box; None: equally many boxes for each map, those of the first map first.

    Returns the maps' dtype; positions are computed in float32 or better. Gradients reach the maps, once, and are the
    same bits every time; of equal samples the first has the gradient, as in torch's `max_pool2d`. Boxes are constants:
    ValueError where they want a gradient, and where sizes do not fit. On a CPU owners off the maps raise too; on a GPU,
    which would have to be waited for, their regions are 0.
    """
    check(maps, boxes, owners)
    kept = maps.requires_grad and torch.is_grad_enabled()
    if maps.dtype == torch.float64:
        owners = owners_of(owners, len(boxes), len(maps), boxes.device)
        return reference.crop_max(maps, boxes.detach().double(), owners)
    refuse_forward_mode("crop_max", [maps, boxes])
    return ops.crop_max(maps, boxes.detach().float(), owners, kept)[0]


def check(maps: Tensor, boxes: Tensor, owners: Tensor | None) -> None:
    if maps.dim() != 4 or not maps.is_floating_point() or min(maps.shape[1:]) < 1:
        raise ValueError(f"maps must be floating and (N, H, W, C) with a cell at least, not {maps.dtype} of "
                         f"{tuple(maps.shape)}.")
    if boxes.dim() != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes must be (R, 4), not {tuple(boxes.shape)}.")
    if boxes.requires_grad and torch.is_grad_enabled():
        raise ValueError("boxes want a gradient, which crop_max does not have: hand in boxes.detach().")
    if owners is None:
        if len(boxes) and (len(maps) == 0 or len(boxes) % len(maps)):
            raise ValueError(f"{len(boxes)} boxes are not equally many for each of {len(maps)} maps: say in `owners` "
                             "which map each box belongs to.")
        return
    if owners.shape != boxes.shape[:1] or owners.is_floating_point():
        raise ValueError(f"owners must be {len(boxes)} integers, one for each box, not {owners.dtype} of "
                         f"{tuple(owners.shape)}.")
    if owners.device.type == "cpu" and len(owners) and not torch.compiler.is_compiling():
        low, high = owners.aminmax()
        if low < 0 or high >= len(maps):
            raise ValueError(f"owners must be below {len(maps)}, the number of maps, and not negative; got {int(low)} "
                             f"to {int(high)}.")
