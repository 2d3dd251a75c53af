"""The spline warp in plain torch, fast: a small definite system in float64, and a gather by embedding_bag.

Runs on any device, and is what a CPU uses. Each function has its twin of the same name in launch.py.
All are below autograd: ops.py joins forward and backward.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .reduced import FixedPart, fixed_part, pack, to_units, unpack, with_one
from .reference import MIN_SQUARED_DISTANCE, bilinear_corners, radial_basis, squared_distances

RIDGE = 1e-12  # of S's largest entry: far below what a displacement changes, far above float64's rounding
SUM = 0  # embedding_bag's number for mode="sum"


def can_solve(num_points: int, num_boundary_points: int) -> bool:
    """Always: only launch.py has a limit."""
    return True


@lru_cache(maxsize=64)
def constants(height: int, width: int, order: int, num_boundary_points: int, device: torch.device) -> Tensor:
    """What `spline_flow` and its adjoint are given as `fixed`: the float64 parts of the system that never change."""
    fixed = fixed_part(height, width, order, num_boundary_points)
    return pack([fixed.border, fixed.cells, fixed.inverse, fixed.basis], device)


def fixed_from(packed: Tensor, height: int, width: int, num_boundary_points: int) -> FixedPart:
    scale, border, cells = float(max(height, width) - 1), 4 * num_boundary_points, height * width
    sizes = [(border, 2), (cells, 2), (border + 3, border + 3), (cells, border + 3)]
    centre = ((height - 1) / 2, (width - 1) / 2)
    return FixedPart(centre, scale, MIN_SQUARED_DISTANCE / scale**2, *unpack(packed, sizes))


def spline_flow(
    points: Tensor, displacement: Tensor, fixed: Tensor, height: int, width: int, order: int, num_boundary_points: int,
    moving: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Flow (B, H, W, 2), and for the backward the weights w (B, N, 2) and S^-1 (B, N, N).

    A ridge keeps S definite when two moved points meet or one lands on a border point: everything is finite, and the
    flow is close to that of their mean displacement.
    """
    part = fixed_from(fixed, height, width, num_boundary_points)
    moved = solved_on(points, displacement, part, moving)
    to_fixed = fixed_columns(moved, part, order)
    system, wanted = reduced_system(moved, to_fixed, part, order), displacement.double()
    inverse = inverse_of(system, order)
    weights = inverse @ wanted
    weights += inverse @ (wanted - system @ weights)  # undoes the ridge where there is a solution
    basis = radial_basis(squared_distances(part.cells, moved), order, part.min_squared)  # Phi (B, HW, N)
    flow = basis @ weights - part.basis @ (to_fixed @ weights)
    flow = flow.reshape(-1, height, width, 2)
    return flow.to(displacement), weights.to(displacement), inverse.to(displacement).contiguous()


def spline_flow_backward(
    grad_flow: Tensor, points: Tensor, displacement: Tensor, fixed: Tensor, weights: Tensor, inverse: Tensor,
    order: int, num_boundary_points: int, moving: bool,
) -> Tensor:  # fmt: skip
    """The adjoint of `spline_flow` towards displacement (B, N, 2)."""
    height, width = grad_flow.shape[1:3]
    part = fixed_from(fixed, height, width, num_boundary_points)
    moved = solved_on(points, displacement, part, moving)
    to_fixed = fixed_columns(moved, part, order)  # C
    grad_flow, weights, inverse = (part.double() for part in (grad_flow.flatten(1, 2), weights, inverse))
    away = part.cells[:, None] - moved[:, None]  # (B, HW, N, 2)
    squared = away.square().sum(-1)
    pulled = part.basis.mT @ grad_flow  # R (B, K + 3, 2)
    grad_weights = radial_basis(squared, order, part.min_squared).mT @ grad_flow - to_fixed.mT @ pulled
    grad_values = inverse @ grad_weights  # lambda (B, N, 2)
    if not moving:
        return grad_values.to(displacement)
    along = (grad_flow @ weights.mT) * radial_slope(squared, order, part.min_squared)  # (B, HW, N)
    grad_moved = -2 * (along[..., None] * away).sum(1)
    outer = grad_values @ weights.mT
    grad_moved += grad_through_system(-(outer + outer.mT), pulled, weights, moved, to_fixed, part, order)
    return (grad_values + grad_moved / part.scale).to(displacement)


def grad_through_system(
    grad_system: Tensor, pulled: Tensor, weights: Tensor, moved: Tensor, to_fixed: Tensor, fixed: FixedPart, order: int
) -> Tensor:
    """The gradient of the moved points (B, N, 2) through S and C; grad_system is dS (B, N, N), symmetric."""
    between = moved[:, :, None] - moved[:, None]  # (B, N, N, 2)
    slope = radial_slope(between.square().sum(-1), order, fixed.min_squared)
    grad_moved = 2 * ((grad_system * slope)[..., None] * between).sum(2)
    grad_columns = -pulled @ weights.mT - fixed.inverse @ to_fixed @ grad_system  # dC (B, K + 3, N)
    grad_kernel, grad_linear = grad_columns.split([len(fixed.border), 3], 1)
    apart = fixed.border[:, None] - moved[:, None]  # (B, K, N, 2)
    slope = radial_slope(apart.square().sum(-1), order, fixed.min_squared)
    grad_moved -= 2 * ((grad_kernel * slope)[..., None] * apart).sum(1)
    return grad_moved + grad_linear[:, :2].mT


def solved_on(points: Tensor, displacement: Tensor, fixed: FixedPart, moving: bool) -> Tensor:
    """Where the spline is solved, (B, N, 2) float64 in units."""
    start = points.to(displacement.device, torch.float64).expand(displacement.shape)
    return to_units(start + displacement.double() if moving else start, fixed.centre, fixed.scale)


def fixed_columns(moved: Tensor, fixed: FixedPart, order: int) -> Tensor:
    """C (B, K + 3, N): the moved points as the border points and the polynomial see them."""
    to_border = radial_basis(squared_distances(fixed.border, moved), order, fixed.min_squared)
    return torch.cat([to_border, with_one(moved).mT], 1)


def reduced_system(moved: Tensor, to_fixed: Tensor, fixed: FixedPart, order: int) -> Tensor:
    """S = A - C^T M^-1 C (B, N, N)"""
    among = radial_basis(squared_distances(moved, moved), order, fixed.min_squared)
    return among - to_fixed.mT @ fixed.inverse @ to_fixed


def inverse_of(system: Tensor, order: int) -> Tensor:
    """S^-1 by Cholesky; S is above zero for order 2 and below for order 1. A NaN stays NaN; nothing is raised."""
    sign = 1.0 if order == 2 else -1.0
    ridge = RIDGE * system.abs().amax((1, 2)).clamp_min(1.0)
    ridge = torch.diag_embed(ridge[:, None].expand(-1, system.shape[1]))
    factor, _ = torch.linalg.cholesky_ex(sign * system + ridge)
    return sign * torch.cholesky_inverse(factor)


def radial_slope(squared: Tensor, order: int, min_squared: float) -> Tensor:
    """d phi / d r^2, as autograd computes it: below the floor of a distance, the floor's own slope, zero."""
    floored = squared.clamp_min(min_squared)
    if order == 1:
        return torch.where(squared < min_squared, 0.0, 0.5 / floored.sqrt())
    return 0.5 * floored.log() + torch.where(squared < min_squared, 0.0, 0.5)


class Taps(NamedTuple):
    """Where each of the B*HW cells reads: rows of the four cells around it, and how far it lies between them."""

    rows: Tensor  # (B * HW, 4) int64: top left, top right, bottom left, bottom right
    down: Tensor  # (B * HW,) in [0, 1]
    right: Tensor

    def weights(self) -> Tensor:
        up, left = 1 - self.down, 1 - self.right
        return torch.stack([up * left, up * self.right, self.down * left, self.down * self.right], -1)  # (B * HW, 4)


def warp(states: Sequence[Tensor], flow: Tensor) -> list[Tensor]:
    """states (B, C, H, W) read at every cell minus its flow (B, H, W, 2); channels last in memory."""
    taps, _ = taps_of(flow)
    weights = taps.weights()
    warped = []
    for state in states:
        rows, counted = rows_of(state), weights.to(state.dtype)  # (B * HW, C), (B * HW, 4)
        used = counted != 0  # nothing is read without a weight: 0 times infinity is no number
        counts = used.sum(1)
        answer = F.embedding_bag(taps.rows[used], rows, counts.cumsum(0) - counts, per_sample_weights=counted[used],
                                 mode="sum")  # fmt: skip
        warped.append(maps_of(answer, state))
    return warped


def warp_backward_states(grads: Sequence[Tensor], flow: Tensor) -> list[Tensor]:
    """The gradients of the states: each cell gathers, in a fixed order, from the cells that read it."""
    taps, _ = taps_of(flow)
    read = taps.rows.flatten()
    order = read.argsort(stable=True)
    weights = taps.weights().flatten()[order]
    answers = []
    for grad in grads:
        rows, counted = rows_of(grad), weights.to(grad.dtype)
        used = counted != 0
        chosen = order[used]
        counts = torch.bincount(read[chosen], minlength=len(taps.down))
        answer = F.embedding_bag(chosen // 4, rows, counts.cumsum(0) - counts, per_sample_weights=counted[used],
                                 mode="sum")  # fmt: skip
        answers.append(maps_of(answer, grad))
    return answers


def warp_backward_flow(grads: Sequence[Tensor], states: Sequence[Tensor], flow: Tensor) -> Tensor:
    """The gradient of the flow (B, H, W, 2): what is read, its change downwards and rightwards, times its gradient."""
    taps, inside = taps_of(flow)
    read = taps.rows.flatten()
    reader = torch.arange(len(taps.down), device=flow.device)
    along = flow.new_zeros(len(reader), 4)  # the gradient times each of the four cells, summed over channels

    def dots_of(grad: Tensor, state: Tensor) -> Tensor:
        dots = torch.ops.aten._embedding_bag_per_sample_weights_backward(
            rows_of(grad), rows_of(state), read, 4 * reader, reader.repeat_interleave(4), SUM
        )
        return dots.reshape(-1, 4).to(along.dtype)

    for grad, state in zip(grads, states, strict=True):
        dots = dots_of(grad, state)
        if not dots.isfinite().all():  # what is read without a weight counts as zero where it is not finite
            dots = torch.where(taps.weights() == 0, dots_of(grad, state.nan_to_num(0.0, 0.0, 0.0)), dots)
        along += dots
    top_left, top_right, bottom_left, bottom_right = along.unbind(1)
    downwards = (bottom_left - top_left) * (1 - taps.right) + (bottom_right - top_right) * taps.right
    rightwards = (top_right - top_left) * (1 - taps.down) + (bottom_right - bottom_left) * taps.down
    return -torch.where(inside, torch.stack([downwards, rightwards], -1), 0.0).reshape(flow.shape)


def taps_of(flow: Tensor) -> tuple[Taps, Tensor]:
    """The taps, and whether the position is on the map, (B * HW, 2) in (y, x): outside it, the flow changes nothing."""
    batch, height, width, _ = flow.shape
    corner, between = bilinear_corners(flow)  # (B, HW, 2) both
    first = (corner[..., 0] * width + corner[..., 1]).long()
    first += height * width * torch.arange(batch, device=flow.device)[:, None]
    rows = first.reshape(-1, 1) + torch.tensor([0, 1, width, width + 1], device=flow.device)
    inside = (between >= 0) & (between <= 1)
    down, right = between.clamp(0, 1).flatten(0, 1).unbind(-1)  # a NaN is kept
    return Taps(rows, down, right), inside.flatten(0, 1)


def rows_of(maps: Tensor) -> Tensor:
    """(B, C, H, W) -> (B * HW, C); a view when the channels are last in memory."""
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])


def maps_of(rows: Tensor, like: Tensor) -> Tensor:
    batch, channels, height, width = like.shape
    return rows.reshape(batch, height, width, channels).permute(0, 3, 1, 2)
