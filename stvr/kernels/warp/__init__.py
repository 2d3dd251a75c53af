"""The spline warp: moves a few control points, and the whole feature map follows smoothly."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from stvr.kernels.warp.reference import dense_warp, spline_flow

__all__ = ["dense_warp", "spline_flow", "spline_warp"]


def spline_warp(
    states: Sequence[Tensor],
    points: Tensor,
    displacement: Tensor,
    *,
    order: int = 2,
    num_boundary_points: int = 4,
) -> list[Tensor]:
    """Warps every state so that `points` land on `points + displacement` (Feng et al. 2019, eq. 2 and 3).

    states: maps (B, C, H, W) of one size, warped by one flow. points (N, 2), displacement (B, N, 2): cells, (y, x).
    order: of the polyharmonic spline, 1 or 2 in the paper. num_boundary_points: unmoved points along an edge.
    Returns maps as they came. Raises ValueError when sizes do not fit, torch.linalg.LinAlgError when two moved points
    meet.
    """
    if not states:
        return []
    height, width = check(states, points, displacement)
    flow = spline_flow(points, displacement, height, width, order=order, num_boundary_points=num_boundary_points)
    return [dense_warp(state, flow) for state in states]


def check(states: Sequence[Tensor], points: Tensor, displacement: Tensor) -> tuple[int, int]:
    """The (height, width) that all states share."""
    sizes = {tuple(state.shape[-2:]) for state in states}
    batches = {state.shape[0] for state in states}
    if any(state.dim() != 4 for state in states) or len(sizes) != 1:
        raise ValueError(f"states must be (B, C, H, W) of one size, not {[tuple(state.shape) for state in states]}.")
    if points.dim() != 2 or points.shape[1] != 2 or batches != {displacement.shape[0]}:
        raise ValueError(f"wanted points (N, 2) and displacement ({sorted(batches)}, N, 2); "
                         f"came {tuple(points.shape)} and {tuple(displacement.shape)}.")
    if displacement.shape[1:] != points.shape:
        raise ValueError(f"{points.shape[0]} points need as many displacements, not {displacement.shape[1]}.")
    height, width = sizes.pop()
    if min(height, width) < 2:
        raise ValueError(f"a map to warp needs at least 2 x 2 cells, not {height} x {width}.")
    return height, width
