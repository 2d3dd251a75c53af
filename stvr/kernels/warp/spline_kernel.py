"""The spline's Triton kernels: where each cell reads, from a few points that move.

    spline_forward        B programs: system, inverse by Gauss-Jordan in registers, flow of all cells
    spline_backward       B programs: the whole adjoint

reduced.py has the algebra, cpu.py the same in torch. Everything is computed in float32. Sizes are constants of the
compiled kernel. No atomics: the same bits every time.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from ..compiling import CompileCase
from .tiles import MIN_PIVOT, OPTIONS, TILES, spline_options


@triton.jit
def _radial_basis(squared, ORDER: tl.constexpr, MIN_SQUARED: tl.constexpr):
    floored = tl.maximum(squared, MIN_SQUARED)
    if ORDER == 1:
        return tl.sqrt(floored)
    else:
        return 0.5 * squared * tl.log(floored)


@triton.jit
def _radial_slope(squared, ORDER: tl.constexpr, MIN_SQUARED: tl.constexpr):
    """d phi / d r^2, as autograd computes it: the floor has no slope of its own."""
    floored = tl.maximum(squared, MIN_SQUARED)
    if ORDER == 1:
        return tl.where(squared < MIN_SQUARED, 0.0, 0.5 / tl.sqrt(floored))
    else:
        return 0.5 * tl.log(floored) + tl.where(squared < MIN_SQUARED, 0.0, 0.5)


@triton.jit
def _dot(left, right):
    return tl.dot(left, right, input_precision="ieee")


@triton.jit
def _times(symmetric, vector):
    return tl.sum(symmetric * vector[None, :], axis=1)


@triton.jit
def _points(points_ptr, displacement_ptr, sample, point, N: tl.constexpr, CENTRE_Y: tl.constexpr,
            CENTRE_X: tl.constexpr, UNIT: tl.constexpr, MOVING: tl.constexpr):  # fmt: skip
    """The displacement in cells, and where the spline is solved, in units."""
    live = point < N
    move_y = tl.load(displacement_ptr + (sample * N + point) * 2, mask=live, other=0.0).to(tl.float32)
    move_x = tl.load(displacement_ptr + (sample * N + point) * 2 + 1, mask=live, other=0.0).to(tl.float32)
    y = tl.load(points_ptr + point * 2, mask=live, other=0.0).to(tl.float32) - CENTRE_Y
    x = tl.load(points_ptr + point * 2 + 1, mask=live, other=0.0).to(tl.float32) - CENTRE_X
    if MOVING:
        y += move_y
        x += move_x
    return move_y, move_x, y * UNIT, x * UNIT


@triton.jit
def _system(y, x, point, row, border_ptr, inverse_ptr, N: tl.constexpr, K: tl.constexpr, N_PAD: tl.constexpr,
            FIXED_PAD: tl.constexpr, ORDER: tl.constexpr, MIN_SQUARED: tl.constexpr):  # fmt: skip
    """Distances among the points and to the border, C, M^-1 C and S, its sign changed so that it is positive."""
    between_y = y[:, None] - y[None, :]
    between_x = x[:, None] - x[None, :]
    among = _radial_basis(between_y * between_y + between_x * between_x, ORDER, MIN_SQUARED)
    border_y = tl.load(border_ptr + row * 2, mask=row < K, other=0.0)
    border_x = tl.load(border_ptr + row * 2 + 1, mask=row < K, other=0.0)
    apart_y = border_y[:, None] - y[None, :]
    apart_x = border_x[:, None] - x[None, :]
    columns = _radial_basis(apart_y * apart_y + apart_x * apart_x, ORDER, MIN_SQUARED)
    rows = row[:, None]
    one = tl.full((FIXED_PAD, N_PAD), 1.0, tl.float32)
    linear = tl.where(rows == K, y[None, :] * one, tl.where(rows == K + 1, x[None, :] * one, one))
    columns = tl.where(rows < K, columns, tl.where(rows < K + 3, linear, 0.0))
    columns = tl.where(point[None, :] < N, columns, 0.0)
    solved = _dot(tl.load(inverse_ptr + row[:, None] * FIXED_PAD + row[None, :]), columns)
    system = among - _dot(tl.trans(columns), solved)
    if ORDER == 1:
        system = -system
    live = (point[:, None] < N) & (point[None, :] < N)
    system = tl.where(live, system, tl.where(point[:, None] == point[None, :], 1.0, 0.0))
    return between_y, between_x, apart_y, apart_x, columns, solved, system


@triton.jit
def _inverse(system, N: tl.constexpr, N_PAD: tl.constexpr, MIN_PIVOT: tl.constexpr):
    """Gauss-Jordan without exchanges: the matrix is positive. A pivot below the floor is raised to it."""
    row = tl.arange(0, N_PAD)[:, None]
    column = tl.arange(0, N_PAD)[None, :]
    floor = MIN_PIVOT * tl.maximum(tl.max(tl.max(tl.abs(system), axis=1), axis=0), 1.0)
    for k in tl.static_range(N):
        of_row = tl.sum(tl.where(row == k, system, 0.0), axis=0)[None, :]
        of_column = tl.sum(tl.where(column == k, system, 0.0), axis=1)[:, None]
        pivot = tl.sum(tl.sum(tl.where((row == k) & (column == k), system, 0.0), axis=1), axis=0)
        scale = 1.0 / tl.maximum(pivot, floor)
        rest = system - of_column * of_row * scale
        rest = tl.where(column == k, -of_column * scale, rest)
        system = tl.where(row == k, tl.where(column == k, scale, of_row * scale), rest)
    return system


@triton.jit
def _solve(points_ptr, displacement_ptr, border_ptr, inverse_ptr, sample, N: tl.constexpr, K: tl.constexpr,
           N_PAD: tl.constexpr, FIXED_PAD: tl.constexpr, CENTRE_Y: tl.constexpr, CENTRE_X: tl.constexpr,
           UNIT: tl.constexpr, MIN_SQUARED: tl.constexpr, MIN_PIVOT: tl.constexpr, ORDER: tl.constexpr,
           MOVING: tl.constexpr):  # fmt: skip
    """Where the spline is solved, y and x in units; its weights w; C w; S^-1."""
    point = tl.arange(0, N_PAD)
    row = tl.arange(0, FIXED_PAD)
    move_y, move_x, y, x = _points(points_ptr, displacement_ptr, sample, point, N, CENTRE_Y, CENTRE_X, UNIT, MOVING)
    _, _, _, _, columns, _, system = _system(
        y, x, point, row, border_ptr, inverse_ptr, N, K, N_PAD, FIXED_PAD, ORDER, MIN_SQUARED
    )
    inverse = _inverse(system, N, N_PAD, MIN_PIVOT)
    weight_y = _times(inverse, move_y)
    weight_x = _times(inverse, move_x)
    weight_y += _times(inverse, move_y - _times(system, weight_y))  # one refinement recovers what float32 lost
    weight_x += _times(inverse, move_x - _times(system, weight_x))
    if ORDER == 1:
        inverse = -inverse
        weight_y = -weight_y
        weight_x = -weight_x
    fixed_y = tl.sum(columns * weight_y[None, :], axis=1)
    fixed_x = tl.sum(columns * weight_x[None, :], axis=1)
    return y, x, weight_y, weight_x, fixed_y, fixed_x, inverse


@triton.jit
def _store_solution(weights_ptr, solved_ptr, sample, weight_y, weight_x, inverse, N: tl.constexpr, N_PAD: tl.constexpr):
    """For the backward: w and S^-1."""
    point = tl.arange(0, N_PAD)
    live = point < N
    tl.store(weights_ptr + (sample * N + point) * 2, weight_y, mask=live)
    tl.store(weights_ptr + (sample * N + point) * 2 + 1, weight_x, mask=live)
    place = (sample * N + point[:, None]) * N + point[None, :]
    tl.store(solved_ptr + place, inverse, mask=live[:, None] & live[None, :])


@triton.jit
def _flow(cell, here, basis_ptr, y, x, weight_y, weight_x, fixed_y, fixed_x, WIDTH: tl.constexpr,
          FIXED_PAD: tl.constexpr, CENTRE_Y: tl.constexpr, CENTRE_X: tl.constexpr, UNIT: tl.constexpr,
          MIN_SQUARED: tl.constexpr, ORDER: tl.constexpr):  # fmt: skip
    """The flow of some cells."""
    row = tl.arange(0, FIXED_PAD)
    away_y = ((cell // WIDTH).to(tl.float32) - CENTRE_Y)[:, None] * UNIT - y[None, :]
    away_x = ((cell % WIDTH).to(tl.float32) - CENTRE_X)[:, None] * UNIT - x[None, :]
    basis = _radial_basis(away_y * away_y + away_x * away_x, ORDER, MIN_SQUARED)
    fixed = tl.load(basis_ptr + cell[:, None] * FIXED_PAD + row[None, :], mask=here[:, None], other=0.0)
    flow_y = tl.sum(basis * weight_y[None, :], axis=1) - tl.sum(fixed * fixed_y[None, :], axis=1)
    flow_x = tl.sum(basis * weight_x[None, :], axis=1) - tl.sum(fixed * fixed_x[None, :], axis=1)
    return flow_y, flow_x


@triton.jit
def spline_forward(points_ptr, displacement_ptr, border_ptr, inverse_ptr, basis_ptr, flow_ptr, weights_ptr, solved_ptr,
                   HW: tl.constexpr, WIDTH: tl.constexpr, N: tl.constexpr, K: tl.constexpr, N_PAD: tl.constexpr,
                   FIXED_PAD: tl.constexpr, CENTRE_Y: tl.constexpr, CENTRE_X: tl.constexpr, UNIT: tl.constexpr,
                   MIN_SQUARED: tl.constexpr, MIN_PIVOT: tl.constexpr, ORDER: tl.constexpr, MOVING: tl.constexpr,
                   CELLS: tl.constexpr):  # fmt: skip
    sample = tl.program_id(0)
    y, x, weight_y, weight_x, fixed_y, fixed_x, inverse = _solve(
        points_ptr, displacement_ptr, border_ptr, inverse_ptr, sample, N, K, N_PAD, FIXED_PAD, CENTRE_Y, CENTRE_X, UNIT,
        MIN_SQUARED, MIN_PIVOT, ORDER, MOVING,
    )  # fmt: skip
    _store_solution(weights_ptr, solved_ptr, sample, weight_y, weight_x, inverse, N, N_PAD)
    for first in range(0, HW, CELLS):
        cell = first + tl.arange(0, CELLS)
        here = cell < HW
        flow_y, flow_x = _flow(
            cell, here, basis_ptr, y, x, weight_y, weight_x, fixed_y, fixed_x, WIDTH, FIXED_PAD, CENTRE_Y, CENTRE_X,
            UNIT, MIN_SQUARED, ORDER,
        )  # fmt: skip
        tl.store(flow_ptr + (sample * HW + cell) * 2, flow_y, mask=here)
        tl.store(flow_ptr + (sample * HW + cell) * 2 + 1, flow_x, mask=here)


@triton.jit
def spline_backward(grad_ptr, points_ptr, displacement_ptr, border_ptr, inverse_ptr, basis_ptr, weights_ptr, solved_ptr,
                    answer_ptr, HW: tl.constexpr, WIDTH: tl.constexpr, N: tl.constexpr, K: tl.constexpr,
                    N_PAD: tl.constexpr, FIXED_PAD: tl.constexpr, CENTRE_Y: tl.constexpr, CENTRE_X: tl.constexpr,
                    UNIT: tl.constexpr, MIN_SQUARED: tl.constexpr, ORDER: tl.constexpr, MOVING: tl.constexpr,
                    CELLS: tl.constexpr):  # fmt: skip
    sample = tl.program_id(0)
    point = tl.arange(0, N_PAD)
    row = tl.arange(0, FIXED_PAD)
    live = point < N
    _, _, y, x = _points(points_ptr, displacement_ptr, sample, point, N, CENTRE_Y, CENTRE_X, UNIT, MOVING)
    between_y, between_x, apart_y, apart_x, columns, solved, _ = _system(
        y, x, point, row, border_ptr, inverse_ptr, N, K, N_PAD, FIXED_PAD, ORDER, MIN_SQUARED
    )
    weight_y = tl.load(weights_ptr + (sample * N + point) * 2, mask=live, other=0.0)
    weight_x = tl.load(weights_ptr + (sample * N + point) * 2 + 1, mask=live, other=0.0)
    place = (sample * N + point[:, None]) * N + point[None, :]
    inverse = tl.load(solved_ptr + place, mask=live[:, None] & live[None, :], other=0.0)
    grad_weight_y = tl.zeros((N_PAD,), tl.float32)
    grad_weight_x = tl.zeros((N_PAD,), tl.float32)
    grad_y = tl.zeros((N_PAD,), tl.float32)  # of the points where the spline is solved
    grad_x = tl.zeros((N_PAD,), tl.float32)
    pulled_y = tl.zeros((FIXED_PAD,), tl.float32)  # R
    pulled_x = tl.zeros((FIXED_PAD,), tl.float32)
    for first in range(0, HW, CELLS):
        cell = first + tl.arange(0, CELLS)
        here = cell < HW
        flow_y = tl.load(grad_ptr + (sample * HW + cell) * 2, mask=here, other=0.0)[:, None]
        flow_x = tl.load(grad_ptr + (sample * HW + cell) * 2 + 1, mask=here, other=0.0)[:, None]
        away_y = ((cell // WIDTH).to(tl.float32) - CENTRE_Y)[:, None] * UNIT - y[None, :]
        away_x = ((cell % WIDTH).to(tl.float32) - CENTRE_X)[:, None] * UNIT - x[None, :]
        squared = away_y * away_y + away_x * away_x
        basis = _radial_basis(squared, ORDER, MIN_SQUARED)
        grad_weight_y += tl.sum(basis * flow_y, axis=0)
        grad_weight_x += tl.sum(basis * flow_x, axis=0)
        along = flow_y * weight_y[None, :] + flow_x * weight_x[None, :]
        along = -2.0 * along * _radial_slope(squared, ORDER, MIN_SQUARED)
        grad_y += tl.sum(along * away_y, axis=0)
        grad_x += tl.sum(along * away_x, axis=0)
        fixed = tl.load(basis_ptr + cell[:, None] * FIXED_PAD + row[None, :], mask=here[:, None], other=0.0)
        pulled_y += tl.sum(fixed * flow_y, axis=0)
        pulled_x += tl.sum(fixed * flow_x, axis=0)
    grad_weight_y -= tl.sum(columns * pulled_y[:, None], axis=0)
    grad_weight_x -= tl.sum(columns * pulled_x[:, None], axis=0)
    value_y = _times(inverse, grad_weight_y)  # lambda
    value_x = _times(inverse, grad_weight_x)
    if MOVING:
        outer = value_y[:, None] * weight_y[None, :] + value_x[:, None] * weight_x[None, :]
        grad_system = -(outer + weight_y[:, None] * value_y[None, :] + weight_x[:, None] * value_x[None, :])
        squared = between_y * between_y + between_x * between_x
        along = 2.0 * grad_system * _radial_slope(squared, ORDER, MIN_SQUARED)
        grad_y += tl.sum(along * between_y, axis=1)
        grad_x += tl.sum(along * between_x, axis=1)
        grad_columns = -(pulled_y[:, None] * weight_y[None, :] + pulled_x[:, None] * weight_x[None, :])
        grad_columns -= _dot(solved, grad_system)
        squared = apart_y * apart_y + apart_x * apart_x
        rows = row[:, None]
        along = tl.where(rows < K, -2.0 * grad_columns * _radial_slope(squared, ORDER, MIN_SQUARED), 0.0)
        grad_y += tl.sum(along * apart_y + tl.where(rows == K, grad_columns, 0.0), axis=0)
        grad_x += tl.sum(along * apart_x + tl.where(rows == K + 1, grad_columns, 0.0), axis=0)
        value_y += grad_y * UNIT
        value_x += grad_x * UNIT
    tl.store(answer_ptr + (sample * N + point) * 2, value_y, mask=live)
    tl.store(answer_ptr + (sample * N + point) * 2 + 1, value_x, mask=live)


def compile_cases(backend: str) -> list[CompileCase]:
    """The paper's size."""
    tiles = TILES[backend, 4]
    return [
        CompileCase(f"order {order}", kernel, pointers_of(kernel),
                    {name: value for name, value in {**paper_sizes(order), **spline_options(tiles)}.items()
                     if name in kernel.arg_names},
                    tiles.spline_warps, int(OPTIONS["num_stages"]), {"enable_fp_fusion": OPTIONS["enable_fp_fusion"]})
        for order in (2, 1) for kernel in (spline_forward, spline_backward)
    ]  # fmt: skip


def pointers_of(kernel: Any, dtype: str = "*fp32") -> dict[str, str]:
    return {name: dtype for name in kernel.arg_names if name.endswith("_ptr")}


def paper_sizes(order: int) -> dict[str, Any]:
    """Nine points on 20 x 20 cells, four border points an edge."""
    return {"HW": 400, "WIDTH": 20, "N": 9, "K": 16, "CENTRE_Y": 9.5, "CENTRE_X": 9.5, "UNIT": 1 / 19,
            "MIN_SQUARED": 1e-10 / 361, "MIN_PIVOT": MIN_PIVOT, "ORDER": order, "MOVING": True}  # fmt: skip
