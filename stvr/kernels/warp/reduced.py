"""The part of the spline's system that no displacement changes: inverted once, in float64, for each size of map.

Only the N control points move; the K points on the border and the linear polynomial (y, x, 1) stay. With the unknowns
in the order [w (N), u (K + 3)] the system is

    [[A, C^T], [C, M]] [w; u] = [d; 0],   so   S w = d  with  S = A - C^T M^-1 C,   flow = (Phi - G C) w,   G = g M^-1

S is N x N and definite, so it needs no pivoting. M and G are constant. Coordinates are centred and divided by the
longer side: the interpolant does not change (the polynomial absorbs it), and cond(M) falls from 4e7 to 2e2 on 20 x 20.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from .reference import (
    MIN_SQUARED_DISTANCE,
    boundary_points,
    cell_positions,
    radial_basis,
    squared_distances,
)

ORDERS = (1, 2)  # S is definite for these: below zero for order 1, above for order 2


@dataclass(frozen=True, slots=True, eq=False)
class FixedPart:
    """Constants of a map of one size, in unit coordinates. K points on the border."""

    centre: tuple[float, float]  # cells
    scale: float  # cells to a unit
    min_squared: float  # TensorFlow's floor of a squared distance, in units
    border: Tensor  # (K, 2)
    cells: Tensor  # (HW, 2)
    inverse: Tensor  # M^-1 (K + 3, K + 3)
    basis: Tensor  # G (HW, K + 3)


def fixed_part(height: int, width: int, order: int, num_boundary_points: int) -> FixedPart:
    """The constants in float64, on the CPU."""
    scale = float(max(height, width) - 1)
    centre = ((height - 1) / 2, (width - 1) / 2)
    min_squared = MIN_SQUARED_DISTANCE / scale**2
    with torch.inference_mode(False), torch.no_grad(), torch.device("cpu"):
        border = to_units(boundary_points(height, width, num_boundary_points), centre, scale)
        cells = to_units(cell_positions(height, width), centre, scale)
        kernel = radial_basis(squared_distances(border, border), order, min_squared)
        linear = with_one(border)
        corner = border.new_zeros(3, 3)
        inverse = torch.linalg.inv(torch.cat([torch.cat([kernel, linear], 1), torch.cat([linear.mT, corner], 1)]))
        inverse = (inverse + inverse.mT) / 2
        to_border = radial_basis(squared_distances(cells, border), order, min_squared)
        basis = torch.cat([to_border, with_one(cells)], 1) @ inverse
    return FixedPart(centre, scale, min_squared, border, cells, inverse, basis)


def pack(parts: Sequence[Tensor], device: torch.device) -> Tensor:
    """Tensors of one type, side by side in one: an operator is given a single constant."""
    with torch.inference_mode(False), torch.no_grad():
        return torch.cat([part.flatten() for part in parts]).to(device)


def unpack(packed: Tensor, sizes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    """The parts of `pack`, of those sizes: views."""
    parts = packed.split([prod(size) for size in sizes])
    return [part.view(size) for part, size in zip(parts, sizes, strict=True)]


def can_reduce(order: int, num_boundary_points: int) -> bool:
    """Whether M has an inverse and S is definite; all else runs the plain twin."""
    return order in ORDERS and num_boundary_points >= 1


def to_units(positions: Tensor, centre: tuple[float, float], scale: float) -> Tensor:
    return (positions - positions.new_tensor(centre)) / scale


def with_one(positions: Tensor) -> Tensor:
    """(..., 2) -> (..., 3): the linear polynomial's values (y, x, 1)."""
    return torch.cat([positions, torch.ones_like(positions[..., :1])], -1)
