"""Launches the spline warp's Triton kernels; each function has its plain twin of the same name in cpu.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from . import kernel, spline_kernel
from .reduced import fixed_part, pack, unpack
from .reference import MIN_SQUARED_DISTANCE
from .tiles import MAX_FIXED, MIN_PIVOT, OPTIONS, TILES, Tiles, fits_a_program, spline_options


def can_solve(num_points: int, num_boundary_points: int) -> bool:
    return fits_a_program(num_points, num_boundary_points)


@lru_cache(maxsize=64)
def constants(height: int, width: int, order: int, num_boundary_points: int, device: torch.device) -> Tensor:
    """What `spline_flow` and its adjoint are given as `fixed`: float32, padded with zeros to MAX_FIXED."""
    part = fixed_part(height, width, order, num_boundary_points)
    missing = MAX_FIXED - len(part.inverse)
    inverse, basis = pad(part.inverse.float(), (0, missing, 0, missing)), pad(part.basis.float(), (0, missing))
    return pack([part.border.float(), inverse, basis], device)


def spline_flow(
    points: Tensor, displacement: Tensor, fixed: Tensor, height: int, width: int, order: int, num_boundary_points: int,
    moving: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Flow (B, H, W, 2), and for the backward the weights w (B, N, 2) and S^-1 (B, N, N); all float32.

    A pivot of S below a floor is raised to it, so everything is finite when two points meet.
    """
    batch, num_points, _ = displacement.shape
    flow, weights, inverse = (
        torch.empty(size, device=displacement.device)
        for size in ((batch, height, width, 2), (batch, num_points, 2), (batch, num_points, num_points))
    )
    tiles = tiles_for(displacement.dtype)
    with torch.cuda.device_of(displacement):
        spline_kernel.spline_forward[(batch,)](
            points.contiguous(), displacement.contiguous(), *fixed_parts(fixed, height, width, num_boundary_points),
            flow, weights, inverse, N=num_points, MOVING=moving, MIN_PIVOT=MIN_PIVOT,
            **spline_sizes(height, width, order, num_boundary_points), **spline_options(tiles),
            num_warps=tiles.spline_warps, **OPTIONS,
        )  # fmt: skip
    return flow, weights, inverse


def spline_flow_backward(
    grad_flow: Tensor, points: Tensor, displacement: Tensor, fixed: Tensor, weights: Tensor, inverse: Tensor,
    order: int, num_boundary_points: int, moving: bool,
) -> Tensor:  # fmt: skip
    """The adjoint of `spline_flow` towards displacement (B, N, 2)."""
    batch, height, width, _ = grad_flow.shape
    answer = torch.empty(displacement.shape, device=displacement.device)
    tiles = tiles_for(displacement.dtype)
    with torch.cuda.device_of(displacement):
        spline_kernel.spline_backward[(batch,)](
            grad_flow.contiguous(), points.contiguous(), displacement.contiguous(),
            *fixed_parts(fixed, height, width, num_boundary_points), weights.contiguous(), inverse.contiguous(),
            answer, N=displacement.shape[1], MOVING=moving, **spline_sizes(height, width, order, num_boundary_points),
            **spline_options(tiles), num_warps=tiles.spline_warps, **OPTIONS,
        )  # fmt: skip
    return answer


def fixed_parts(fixed: Tensor, height: int, width: int, num_boundary_points: int) -> list[Tensor]:
    """Of `constants`: border (K, 2), inverse (MAX_FIXED, MAX_FIXED), basis (HW, MAX_FIXED)."""
    return unpack(fixed, [(4 * num_boundary_points, 2), (MAX_FIXED, MAX_FIXED), (height * width, MAX_FIXED)])


def spline_sizes(height: int, width: int, order: int, num_boundary_points: int) -> dict[str, Any]:
    """What the spline's kernels are compiled for."""
    scale = max(height, width) - 1
    return dict(
        HW=height * width, WIDTH=width, K=4 * num_boundary_points, ORDER=order, CENTRE_Y=(height - 1) / 2,
        CENTRE_X=(width - 1) / 2, UNIT=1 / scale, MIN_SQUARED=MIN_SQUARED_DISTANCE / scale**2,
    )  # fmt: skip


def warp(states: Sequence[Tensor], flow: Tensor) -> list[Tensor]:
    """states (B, C, H, W) read at every cell minus its flow (B, H, W, 2); channels last in memory."""
    states = [channels_last(state) for state in states]
    warped = [empty_like(state) for state in states]
    flow = flow.contiguous()
    for first, second, tiles, sizes in launches(states):
        block = kernel.gather_block(sizes["CHANNELS"], tiles)
        cells = divide_up(sizes["HEIGHT"] * sizes["WIDTH"], tiles.gather_cells)
        with torch.cuda.device_of(flow):
            kernel.warp_forward[cells, len(flow), divide_up(sizes["CHANNELS"], block)](
                states[first], states[second], flow, warped[first], warped[second], **sizes, CELLS=tiles.gather_cells,
                BLOCK=block, TWO=first != second, num_warps=tiles.gather_warps, **OPTIONS,
            )  # fmt: skip
    return warped


def spline_warp(
    states: Sequence[Tensor], points: Tensor, displacement: Tensor, fixed: Tensor, order: int, num_boundary_points: int,
    moving: bool,
) -> tuple[list[Tensor], Tensor, Tensor, Tensor]:  # fmt: skip
    """One or two states of a kind, warped by the flow of `spline_flow`, and its three answers: all in one launch."""
    maps = [channels_last(state) for state in states]
    warped = [empty_like(state) for state in maps]
    batch, channels, height, width = maps[0].shape
    num_points = displacement.shape[1]
    flow, weights, inverse = (
        torch.empty(size, device=displacement.device)
        for size in ((batch, height, width, 2), (batch, num_points, 2), (batch, num_points, num_points))
    )
    tiles = tiles_for(maps[0].dtype)
    sizes = spline_sizes(height, width, order, num_boundary_points)
    del sizes["HW"]
    with torch.cuda.device_of(displacement):
        kernel.spline_warp_forward[divide_up(height * width, tiles.fused_share), batch](
            maps[0], maps[-1], points.contiguous(), displacement.contiguous(),
            *fixed_parts(fixed, height, width, num_boundary_points), warped[0], warped[-1], flow, weights, inverse,
            HEIGHT=height, CHANNELS=channels, N=num_points, MOVING=moving, MIN_PIVOT=MIN_PIVOT, **sizes,
            **kernel.fused_options(channels, tiles), TWO=len(maps) == 2, num_warps=tiles.fused_warps, **OPTIONS,
        )  # fmt: skip
    return warped, flow, weights, inverse


def warp_backward_states(grads: Sequence[Tensor], flow: Tensor) -> list[Tensor]:
    """The gradients of the states: each cell sums, in a fixed order, over the cells that read it."""
    grads = [channels_last(grad) for grad in grads]
    answers = [empty_like(grad) for grad in grads]
    flow = flow.contiguous()
    for first, second, tiles, sizes in launches(grads):
        options = kernel.source_options(sizes["CHANNELS"], tiles, split=grads[first].dtype.itemsize == 2)
        blocks = divide_up(sizes["CHANNELS"], options["BLOCK"]) * (1 if first == second else 2)
        with torch.cuda.device_of(flow):
            kernel.warp_backward_states[divide_up(sizes["HEIGHT"] * sizes["WIDTH"], tiles.sources), len(flow), blocks](
                grads[first], grads[second], flow, answers[first], answers[second], **sizes, **options,
                num_warps=tiles.source_warps, **OPTIONS,
            )  # fmt: skip
    return answers


def warp_backward_flow(grads: Sequence[Tensor], states: Sequence[Tensor], flow: Tensor) -> Tensor:
    """The gradient of the flow (B, H, W, 2), summed over the states."""
    states, grads = [channels_last(state) for state in states], [channels_last(grad) for grad in grads]
    flow = flow.contiguous()
    answers = []
    for first, second, tiles, sizes in launches(states):
        answers.append(torch.empty(flow.shape, device=flow.device))
        with torch.cuda.device_of(flow):
            kernel.warp_backward_flow[sizes["HEIGHT"] * sizes["WIDTH"], len(flow)](
                grads[first], grads[second], states[first], states[second], flow, answers[-1], **sizes,
                BLOCK=kernel.gather_block(sizes["CHANNELS"], tiles), TWO=first != second,
                num_warps=tiles.gather_warps, **OPTIONS,
            )  # fmt: skip
    return answers[0] if len(answers) == 1 else torch.stack(answers).sum(0)


def tiles_for(dtype: torch.dtype) -> Tiles:
    return TILES["hip" if torch.version.hip else "cuda", dtype.itemsize]


def launches(maps: Sequence[Tensor]) -> Iterator[tuple[int, int, Tiles, dict[str, int]]]:
    """The places of two maps that share a launch, the tiles for their dtype, and the sizes that kernels are given."""
    for first, second in pairs(maps):
        _, channels, height, width = maps[first].shape
        yield first, second, tiles_for(maps[first].dtype), {"HEIGHT": height, "WIDTH": width, "CHANNELS": channels}


def pairs(maps: Sequence[Tensor]) -> list[tuple[int, int]]:
    """Places of two maps that share a launch; a map without a partner of its kind is paired with itself."""
    found, place = [], 0
    while place < len(maps):
        after = place + 1
        alike = after < len(maps) and (maps[after].shape, maps[after].dtype) == (maps[place].shape, maps[place].dtype)
        found.append((place, after if alike else place))
        place = after + alike
    return found


def channels_last(maps: Tensor) -> Tensor:
    """In memory (B, H, W, C), which torch's channels_last does not promise where a size is 1."""
    return maps.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


def empty_like(maps: Tensor) -> Tensor:
    batch, channels, height, width = maps.shape
    return torch.empty(batch, height, width, channels, dtype=maps.dtype, device=maps.device).permute(0, 3, 1, 2)


def divide_up(number: int, part: int) -> int:
    return -(-number // part)
