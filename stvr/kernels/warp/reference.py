"""What the spline warp means: plain PyTorch, differentiable, exact in float64.

The semantics are TensorFlow's `sparse_image_warp`, which Feng et al. 2019 call in their section 3.2.
"""

from __future__ import annotations

import torch
from torch import Tensor

MIN_SQUARED_DISTANCE = 1e-10  # TensorFlow Addons, interpolate_spline.py: EPSILON


def spline_flow(
    points: Tensor, displacement: Tensor, height: int, width: int, *,
    order: int = 2, num_boundary_points: int = 4, destinations: str = "moving",
) -> Tensor:  # fmt: skip
    """The dense flow (B, H, W, 2) in cells, (y, x), that carries `points` by `displacement`.

    points (N, 2), displacement (B, N, 2). destinations "moving": the spline is solved on the *moved* points, as
    TensorFlow does, so the displacement holds where a point lands; "fixed": on the points themselves, where it starts.
    Two moved points that meet make the system singular: the result is meaningless, or where the elimination ends in an
    exact zero, torch.linalg.LinAlgError is raised.
    """
    batch = displacement.shape[0]
    border = boundary_points(height, width, num_boundary_points).to(displacement)  # (K, 2)
    start = points.to(displacement).expand(batch, -1, 2)
    solved_on = start + displacement if destinations == "moving" else start  # (B, N, 2)
    centres = torch.cat([solved_on, border.expand(batch, -1, 2)], 1)  # (B, N + K, 2)
    values = torch.cat([displacement, displacement.new_zeros(batch, len(border), 2)], 1)
    cells = cell_positions(height, width).to(displacement).expand(batch, -1, 2)  # (B, HW, 2)
    flow = interpolate_spline(centres, values, cells, order=order)
    return flow.reshape(batch, height, width, 2)


def interpolate_spline(
    centres: Tensor, values: Tensor, queries: Tensor, *, order: int, regularization: float = 0.0
) -> Tensor:
    """Polyharmonic interpolation, eq. 3: values (B, N, K) at centres (B, N, D), read at queries (B, M, D): (B, M, K)"""
    batch, num_centres, dims = centres.shape
    kernel = radial_basis(squared_distances(centres, centres), order)  # (B, N, N)
    kernel = kernel + regularization * torch.eye(num_centres).to(kernel)
    linear = torch.cat([centres, torch.ones_like(centres[..., :1])], -1)  # (B, N, D + 1)
    corner = centres.new_zeros(batch, dims + 1, dims + 1)
    system = torch.cat([torch.cat([kernel, linear], 2), torch.cat([linear.mT, corner], 2)], 1)
    right = torch.cat([values, values.new_zeros(batch, dims + 1, values.shape[-1])], 1)
    weights = torch.linalg.solve(system, right)  # (B, N + D + 1, K)
    basis = radial_basis(squared_distances(queries, centres), order)  # (B, M, N)
    query_linear = torch.cat([queries, torch.ones_like(queries[..., :1])], -1)
    return basis @ weights[:, :num_centres] + query_linear @ weights[:, num_centres:]


def radial_basis(squared: Tensor, order: int, min_squared: float = MIN_SQUARED_DISTANCE) -> Tensor:
    """phi_k of a squared distance: r^k for odd k, r^k log r for even k, kept away from zero as TensorFlow does."""
    floored = squared.clamp_min(min_squared)
    if order == 2:
        return 0.5 * squared * floored.log()
    if order == 4:
        return 0.5 * squared.square() * floored.log()
    if order == 1:
        return floored.sqrt()
    power = floored.pow(0.5 * order)
    return 0.5 * power * floored.log() if order % 2 == 0 else power


def squared_distances(left: Tensor, right: Tensor) -> Tensor:
    """(..., N, D) and (..., M, D) -> (..., N, M). By differences: the expanded square loses four digits in float32."""
    return (left[..., :, None, :] - right[..., None, :, :]).square().sum(-1)


def boundary_points(height: int, width: int, num_per_edge: int) -> Tensor:
    """Unmoved points along the border, row-major: (4 num_per_edge, 2) float64 (y, x); none for 0."""
    if num_per_edge < 1:
        return torch.zeros(0, 2, dtype=torch.float64)
    rows = torch.linspace(0, height - 1, num_per_edge + 1, dtype=torch.float64)
    columns = torch.linspace(0, width - 1, num_per_edge + 1, dtype=torch.float64)
    grid = torch.cartesian_prod(rows, columns)
    on_edge = (grid == 0).any(1) | (grid[:, 0] == height - 1) | (grid[:, 1] == width - 1)
    return grid[on_edge]


def cell_positions(height: int, width: int) -> Tensor:
    """The (y, x) of every cell, row-major: (HW, 2) float64."""
    return torch.cartesian_prod(
        torch.arange(height, dtype=torch.float64), torch.arange(width, dtype=torch.float64)
    )


def dense_warp(image: Tensor, flow: Tensor) -> Tensor:
    """out[y, x] = image[y - flow_y, x - flow_x], bilinear, the border clamped. image (B, C, H, W), flow (B, H, W, 2).

    At whole positions the gradient of the flow is that of the cell to the right and below (at the last row and column:
    to the left and above); TensorFlow's is zero there, so that a zero-initialised offset layer would never learn.
    A cell that is read with no weight adds nothing, whatever stands in it, nor does it get a gradient: an infinity
    stays where it is, there and back.
    """
    batch, channels, height, width = image.shape
    index, weights = bilinear_taps(flow)  # (B, HW, 4) both
    taps = image.flatten(2).gather(2, index.reshape(batch, 1, -1).expand(-1, channels, -1))  # (B, C, HW * 4)
    taps = taps.reshape(batch, channels, height * width, 4)
    weights = weights[:, None].to(image.dtype)
    still = weights == 0
    read = torch.where(still, 0.0, taps) * weights
    slope = torch.where(still, weights, 0.0) * taps.detach().nan_to_num(0.0, 0.0, 0.0)  # zero, but not its gradient
    warped = (read + slope).sum(-1)
    return warped.reshape(batch, channels, height, width)


def bilinear_taps(flow: Tensor) -> tuple[Tensor, Tensor]:
    """The four cells around each position that `flow` reads, and their weights: (B, HW, 4) int64 and float."""
    width = flow.shape[2]
    corner, between = bilinear_corners(flow)
    down, right = clamp_to_cell(between).unbind(-1)
    top_left = (corner[..., 0] * width + corner[..., 1]).long()
    index = torch.stack([top_left, top_left + 1, top_left + width, top_left + width + 1], -1)
    weights = torch.stack([(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right], -1)
    return index, weights


def bilinear_corners(flow: Tensor) -> tuple[Tensor, Tensor]:
    """The upper left of those four cells, and how far the position lies from it: (B, HW, 2) both, (y, x) in cells.

    The distance is in [0, 1] on the map, and outside [0, 1] beyond its border.
    """
    height, width = flow.shape[1:3]
    positions = cell_positions(height, width).to(flow) - flow.flatten(1, 2)
    last = positions.new_tensor([height - 2, width - 2])
    whole = positions.detach().floor().nan_to_num(0.0)  # a NaN is kept in the distance, but must not become an index
    corner = torch.minimum(whole.clamp_min(0), last)
    return corner, positions - corner


def clamp_to_cell(between: Tensor) -> Tensor:
    """To [0, 1], with a gradient of 1 at both ends: torch's own clamp has 1, 0 or a half there, by its version."""
    return torch.where(between < 0, 0.0, torch.where(between > 1, 1.0, between))
