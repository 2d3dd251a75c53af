"""The spline warp: moves a few control points, and the whole feature map follows smoothly.

float64 runs the plain twin (reference.py), which defines the result. The rest runs cpu.py or, on a GPU, the Triton
kernels of kernel.py, through the operators of ops.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from ..refusals import refuse_forward_mode
from . import ops, reference
from .reduced import can_reduce

__all__ = ["Destinations", "dense_warp", "spline_flow", "spline_warp", "warp_all"]

Destinations = Literal["moving", "fixed"]


def spline_warp(
    states: Sequence[Tensor],
    points: Tensor,
    displacement: Tensor,
    *,
    order: int = 2,
    num_boundary_points: int = 4,
    destinations: Destinations = "moving",
) -> list[Tensor]:
    """Warps every state so that `points` land on `points + displacement` (Feng et al. 2019, eq. 2 and 3).

    states: maps (B, C, H, W) of one size and any dtype, warped by one flow; those with channels last in memory are not
    copied. points (N, 2), displacement (B, N, 2): cells, (y, x). order: of the polyharmonic spline, 1 or 2 in the
    paper. num_boundary_points: unmoved points along an edge. destinations: see `spline_flow`.

    Returns maps of the states' dtypes, channels last in memory. Gradients reach states and displacement, once; the
    points are constants. The spline is solved in float32 or better, under autocast too. Where two moved points meet, or
    one lands on a border point, the system has no solution: result and gradients are finite but meaningless (for
    float64 see reference.py). Raises ValueError when sizes do not fit.
    """
    if not states:
        return []
    height, width = check(states, points, displacement)
    if reduces(states, displacement, order, num_boundary_points) and ops.can_fuse(
        states, len(points), num_boundary_points
    ):
        return in_one_launch(states, points, displacement, order, num_boundary_points, destinations)
    flow = spline_flow(
        points, displacement, height, width,
        order=order, num_boundary_points=num_boundary_points, destinations=destinations,
    )  # fmt: skip
    return warp_all(states, flow)


def spline_flow(
    points: Tensor,
    displacement: Tensor,
    height: int,
    width: int,
    *,
    order: int = 2,
    num_boundary_points: int = 4,
    destinations: Destinations = "moving",
) -> Tensor:
    """The dense flow (B, H, W, 2) in cells, (y, x): what stands at a cell comes from the cell minus its flow.

    destinations: "moving" is the paper's (h'[p + d] = h[p]) and TensorFlow's: the spline is solved on the moved points.
    "fixed" solves it on `points`: the flow is linear in the displacement and no displacement makes it singular, but the
    displacement then holds where a point starts, not where it lands.
    """
    checked(destinations)
    if displacement.dtype != torch.float64:
        displacement = displacement.float()
    points = points.detach().to(displacement)
    if displacement.dtype == torch.float64 or not can_reduce(order, num_boundary_points):
        with torch.autocast(displacement.device.type, enabled=False):
            return reference.spline_flow(
                points, displacement, height, width,
                order=order, num_boundary_points=num_boundary_points, destinations=destinations,
            )  # fmt: skip
    refuse_forward_mode("spline warp", [displacement])
    sizes = [number(each) for each in (len(points), height, width, order, num_boundary_points)]
    fixed = ops.constants(*sizes, displacement.device)
    moving = destinations == "moving"
    return ops.spline_flow(points, displacement, fixed, height, width, order, num_boundary_points, moving)[0]


def reduces(states: Sequence[Tensor], displacement: Tensor, order: int, num_boundary_points: int) -> bool:
    """Whether no part of it is the plain twin's."""
    wide = torch.float64 in {displacement.dtype, *(state.dtype for state in states)}
    return not wide and can_reduce(order, num_boundary_points)


def in_one_launch(
    states: Sequence[Tensor], points: Tensor, displacement: Tensor, order: int, num_boundary_points: int,
    destinations: str,
) -> list[Tensor]:  # fmt: skip
    """`spline_warp` where `ops.can_fuse`: the flow is computed where it is used, and kept for the backward."""
    checked(destinations)
    refuse_forward_mode("spline warp", [displacement, *states])
    displacement = displacement.float()
    points = points.detach().to(displacement)
    height, width = states[0].shape[-2:]
    sizes = [number(each) for each in (len(points), height, width, order, num_boundary_points)]
    fixed = ops.constants(*sizes, displacement.device)
    answers = ops.spline_warp(
        list(states), points, displacement, fixed, order, num_boundary_points, destinations == "moving"
    )
    return answers[: len(states)]


def checked(destinations: str) -> None:
    if destinations not in get_args(Destinations):
        raise ValueError(f"destinations are one of {get_args(Destinations)}, not {destinations!r}.")


def number(size: int) -> int:
    """The same: torch.compile, which may stand for any size, learns here that it must be this one."""
    return len([None for _ in range(size)])


def dense_warp(image: Tensor, flow: Tensor) -> Tensor:
    """out[y, x] = image[y - flow_y, x - flow_x], bilinear, the border clamped; (B, C, H, W) by flow (B, H, W, 2)."""
    return warp_all([image], flow)[0]


def warp_all(states: Sequence[Tensor], flow: Tensor) -> list[Tensor]:
    """Every state (B, C, H, W) by one flow (B, H, W, 2), as `dense_warp`: in one launch, but one by one in float64."""
    if flow.dtype != torch.float64:
        flow = flow.float()
    if torch.float64 in {flow.dtype, *(state.dtype for state in states)}:
        return [reference.dense_warp(state, flow) for state in states]
    refuse_forward_mode("warp", [flow, *states])
    return ops.warp(list(states), flow)


def check(states: Sequence[Tensor], points: Tensor, displacement: Tensor) -> tuple[int, int]:
    """The (height, width) that all states share."""
    sizes = {tuple(state.shape[-2:]) for state in states}
    batches = {state.shape[0] for state in states}
    if any(state.dim() != 4 for state in states) or len(sizes) != 1:
        raise ValueError(f"states must be (B, C, H, W) of one size, not {[tuple(state.shape) for state in states]}.")
    if points.dim() != 2 or points.shape[1] != 2 or batches != {displacement.shape[0]}:
        raise ValueError(f"wanted points (N, 2) and displacement ({sorted(batches)}, N, 2); "
                         f"got {tuple(points.shape)} and {tuple(displacement.shape)}.")
    if displacement.shape[1:] != points.shape:
        raise ValueError(f"{points.shape[0]} points need as many displacements, not {displacement.shape[1]}.")
    height, width = sizes.pop()
    if min(height, width) < 2:
        raise ValueError(f"a map to warp needs at least 2 x 2 cells, not {height} x {width}.")
    return height, width
