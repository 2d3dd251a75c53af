"""The spline warp's Triton kernels. No atomics: the same bits every time.

    spline_forward        B programs: system, inverse by Gauss-Jordan in registers, flow of all cells
    spline_backward       B programs: the whole adjoint
    warp_forward          a few cells x all channels of two states, which share taps and weights
    warp_backward_flow    one cell: the gradient of its flow, summed over two states
    warp_backward_states  64 cells x 128 channels: the transposed gather as a matrix product

reduced.py has the algebra, cpu.py the same in torch. Everything is computed in float32: values are widened when loaded
and narrowed when stored. Sizes are constants of the compiled kernel.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import triton
import triton.language as tl

from ..compiling import CompileCase

# The spline.


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
def spline_forward(points_ptr, displacement_ptr, border_ptr, inverse_ptr, basis_ptr, flow_ptr, weights_ptr, solved_ptr,
                   HW: tl.constexpr, WIDTH: tl.constexpr, N: tl.constexpr, K: tl.constexpr, N_PAD: tl.constexpr,
                   FIXED_PAD: tl.constexpr, CENTRE_Y: tl.constexpr, CENTRE_X: tl.constexpr, UNIT: tl.constexpr,
                   MIN_SQUARED: tl.constexpr, MIN_PIVOT: tl.constexpr, ORDER: tl.constexpr, MOVING: tl.constexpr,
                   CELLS: tl.constexpr):  # fmt: skip
    sample = tl.program_id(0)
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
    live = point < N
    tl.store(weights_ptr + (sample * N + point) * 2, weight_y, mask=live)
    tl.store(weights_ptr + (sample * N + point) * 2 + 1, weight_x, mask=live)
    place = (sample * N + point[:, None]) * N + point[None, :]
    tl.store(solved_ptr + place, inverse, mask=live[:, None] & live[None, :])
    fixed_y = tl.sum(columns * weight_y[None, :], axis=1)  # C w
    fixed_x = tl.sum(columns * weight_x[None, :], axis=1)
    for first in range(0, HW, CELLS):
        cell = first + tl.arange(0, CELLS)
        here = cell < HW
        away_y = ((cell // WIDTH).to(tl.float32) - CENTRE_Y)[:, None] * UNIT - y[None, :]
        away_x = ((cell % WIDTH).to(tl.float32) - CENTRE_X)[:, None] * UNIT - x[None, :]
        basis = _radial_basis(away_y * away_y + away_x * away_x, ORDER, MIN_SQUARED)
        fixed = tl.load(basis_ptr + cell[:, None] * FIXED_PAD + row[None, :], mask=here[:, None], other=0.0)
        flow_y = tl.sum(basis * weight_y[None, :], axis=1) - tl.sum(fixed * fixed_y[None, :], axis=1)
        flow_x = tl.sum(basis * weight_x[None, :], axis=1) - tl.sum(fixed * fixed_x[None, :], axis=1)
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


# The gather.


@triton.jit
def _position(flow_ptr, sample, cell, HW: tl.constexpr, WIDTH: tl.constexpr):
    y = (cell // WIDTH).to(tl.float32) - tl.load(flow_ptr + (sample * HW + cell) * 2)
    x = (cell % WIDTH).to(tl.float32) - tl.load(flow_ptr + (sample * HW + cell) * 2 + 1)
    return y, x


@triton.jit
def _tap(position, LENGTH: tl.constexpr):
    """Along one axis: the cell before, the part of the way to the next, whether the position is on the map."""
    inside = (position >= 0.0) & (position <= LENGTH - 1.0)
    clamped = tl.where(position >= 0.0, tl.minimum(position, LENGTH - 1.0), 0.0)  # 0 for a NaN
    before = tl.minimum(clamped.to(tl.int32), LENGTH - 2)
    part = tl.where(position == position, clamped - before.to(tl.float32), position)  # a NaN is kept
    return before, part, inside


@triton.jit
def _four(state_ptr, place, live, WIDTH: tl.constexpr, CHANNELS: tl.constexpr):
    """The four cells around a position."""
    top_left = tl.load(state_ptr + place, mask=live, other=0.0).to(tl.float32)
    top_right = tl.load(state_ptr + place + CHANNELS, mask=live, other=0.0).to(tl.float32)
    bottom_left = tl.load(state_ptr + place + WIDTH * CHANNELS, mask=live, other=0.0).to(tl.float32)
    bottom_right = tl.load(state_ptr + place + (WIDTH + 1) * CHANNELS, mask=live, other=0.0).to(tl.float32)
    return top_left, top_right, bottom_left, bottom_right


@triton.jit
def _blend(state_ptr, warped_ptr, place, out, live, down, right, WIDTH: tl.constexpr, CHANNELS: tl.constexpr):
    top_left, top_right, bottom_left, bottom_right = _four(state_ptr, place, live, WIDTH, CHANNELS)
    top = top_left * ((1.0 - down) * (1.0 - right)) + top_right * ((1.0 - down) * right)
    bottom = bottom_left * (down * (1.0 - right)) + bottom_right * (down * right)
    tl.store(warped_ptr + out, (top + bottom).to(warped_ptr.dtype.element_ty), mask=live)


@triton.jit
def warp_forward(first_ptr, second_ptr, flow_ptr, first_warped_ptr, second_warped_ptr, HEIGHT: tl.constexpr,
                 WIDTH: tl.constexpr, CHANNELS: tl.constexpr, CELLS: tl.constexpr, BLOCK: tl.constexpr,
                 TWO: tl.constexpr):  # fmt: skip
    sample = tl.program_id(1)
    channel = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    live = channel < CHANNELS
    HW: tl.constexpr = HEIGHT * WIDTH
    base = sample.to(tl.int64) * HW * CHANNELS
    for i in tl.static_range(CELLS):
        cell = tl.program_id(0) * CELLS + i
        if cell < HW:
            y, x = _position(flow_ptr, sample, cell, HW, WIDTH)
            row, down, _ = _tap(y, HEIGHT)
            column, right, _ = _tap(x, WIDTH)
            place = base + (row * WIDTH + column) * CHANNELS + channel
            out = base + cell * CHANNELS + channel
            _blend(first_ptr, first_warped_ptr, place, out, live, down, right, WIDTH, CHANNELS)
            if TWO:
                _blend(second_ptr, second_warped_ptr, place, out, live, down, right, WIDTH, CHANNELS)


@triton.jit
def _slopes(grad_ptr, state_ptr, place, out, live, down, right, WIDTH: tl.constexpr, CHANNELS: tl.constexpr):
    """The gradient times the change downwards and to the right, per channel."""
    top_left, top_right, bottom_left, bottom_right = _four(state_ptr, place, live, WIDTH, CHANNELS)
    grad = tl.load(grad_ptr + out, mask=live, other=0.0).to(tl.float32)
    downwards = (bottom_left - top_left) * (1.0 - right) + (bottom_right - top_right) * right
    rightwards = (top_right - top_left) * (1.0 - down) + (bottom_right - bottom_left) * down
    return grad * downwards, grad * rightwards


@triton.jit
def warp_backward_flow(first_grad_ptr, second_grad_ptr, first_ptr, second_ptr, flow_ptr, answer_ptr,
                       HEIGHT: tl.constexpr, WIDTH: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr,
                       TWO: tl.constexpr):  # fmt: skip
    cell = tl.program_id(0)
    sample = tl.program_id(1)
    HW: tl.constexpr = HEIGHT * WIDTH
    base = sample.to(tl.int64) * HW * CHANNELS
    y, x = _position(flow_ptr, sample, cell, HW, WIDTH)
    row, down, inside_y = _tap(y, HEIGHT)
    column, right, inside_x = _tap(x, WIDTH)
    total_y = tl.zeros((BLOCK,), tl.float32)
    total_x = tl.zeros((BLOCK,), tl.float32)
    for first in range(0, CHANNELS, BLOCK):
        channel = first + tl.arange(0, BLOCK)
        live = channel < CHANNELS
        place = base + (row * WIDTH + column) * CHANNELS + channel
        out = base + cell * CHANNELS + channel
        slope_y, slope_x = _slopes(first_grad_ptr, first_ptr, place, out, live, down, right, WIDTH, CHANNELS)
        total_y += slope_y
        total_x += slope_x
        if TWO:
            slope_y, slope_x = _slopes(second_grad_ptr, second_ptr, place, out, live, down, right, WIDTH, CHANNELS)
            total_y += slope_y
            total_x += slope_x
    tl.store(answer_ptr + (sample * HW + cell) * 2, tl.where(inside_y, -tl.sum(total_y), 0.0))
    tl.store(answer_ptr + (sample * HW + cell) * 2 + 1, tl.where(inside_x, -tl.sum(total_x), 0.0))


@triton.jit
def _clamped(position, LENGTH: tl.constexpr):
    return tl.where(position >= 0.0, tl.minimum(position, LENGTH - 1.0), 0.0)


@triton.jit
def _product(weights, grad, total, SPLIT: tl.constexpr, PRECISION: tl.constexpr, INTERPRETED: tl.constexpr):
    """total + weights @ grad. SPLIT: a weight as the sum of two 16-bit numbers, each exact on the matrix units."""
    if SPLIT:
        high = weights.to(grad.dtype)
        low = (weights - high.to(tl.float32)).to(grad.dtype)
        if INTERPRETED:  # the interpreter would multiply the bit patterns of bfloat16
            total = tl.dot(high.to(tl.float32), grad.to(tl.float32), total)
            total = tl.dot(low.to(tl.float32), grad.to(tl.float32), total)
        else:
            total = tl.dot(high, grad, total)
            total = tl.dot(low, grad, total)
    else:
        total = tl.dot(weights, grad.to(tl.float32), total, input_precision=PRECISION)
    return total


@triton.jit
def warp_backward_states(first_grad_ptr, second_grad_ptr, flow_ptr, first_answer_ptr, second_answer_ptr,
                         HEIGHT: tl.constexpr, WIDTH: tl.constexpr, CHANNELS: tl.constexpr, SOURCES: tl.constexpr,
                         READERS: tl.constexpr, BLOCK: tl.constexpr, SPLIT: tl.constexpr, PRECISION: tl.constexpr,
                         INTERPRETED: tl.constexpr):  # fmt: skip
    """With positions clamped to the map, cell s has the weight hat(y - s_y) hat(x - s_x) in what is read at (y, x).

    A tile of these weights is made in registers and multiplied with the gradients; a tile of zeros is skipped.
    """
    sample = tl.program_id(1)
    blocks: tl.constexpr = (CHANNELS + BLOCK - 1) // BLOCK
    which = tl.program_id(2)
    if which < blocks:
        grad_ptr = first_grad_ptr
        answer_ptr = first_answer_ptr
    else:
        grad_ptr = second_grad_ptr
        answer_ptr = second_answer_ptr
    HW: tl.constexpr = HEIGHT * WIDTH
    base = sample.to(tl.int64) * HW * CHANNELS
    channel = (which % blocks) * BLOCK + tl.arange(0, BLOCK)
    source = tl.program_id(0) * SOURCES + tl.arange(0, SOURCES)
    source_y = (source // WIDTH).to(tl.float32)[:, None]
    source_x = (source % WIDTH).to(tl.float32)[:, None]
    total = tl.zeros((SOURCES, BLOCK), tl.float32)
    for first in range(0, HW, READERS):
        cell = first + tl.arange(0, READERS)
        here = cell < HW
        flow_y = tl.load(flow_ptr + (sample * HW + cell) * 2, mask=here, other=0.0)
        flow_x = tl.load(flow_ptr + (sample * HW + cell) * 2 + 1, mask=here, other=0.0)
        y = _clamped((cell // WIDTH).to(tl.float32) - flow_y, HEIGHT)[None, :]
        x = _clamped((cell % WIDTH).to(tl.float32) - flow_x, WIDTH)[None, :]
        weights = tl.maximum(1.0 - tl.abs(y - source_y), 0.0) * tl.maximum(1.0 - tl.abs(x - source_x), 0.0)
        weights = tl.where(here[None, :], weights, 0.0)
        if tl.max(tl.max(weights, axis=1), axis=0) > 0.0:
            place = base + cell[:, None] * CHANNELS + channel[None, :]
            live = here[:, None] & (channel < CHANNELS)[None, :]
            grad = tl.load(grad_ptr + place, mask=live, other=0.0)
            total = _product(weights, grad, total, SPLIT, PRECISION, INTERPRETED)
    place = base + source[:, None] * CHANNELS + channel[None, :]
    live = (source < HW)[:, None] & (channel < CHANNELS)[None, :]
    tl.store(answer_ptr + place, total.to(answer_ptr.dtype.element_ty), mask=live)


# How they are launched.


@dataclass(frozen=True, slots=True)
class Tiles:
    """How much one program takes on, and with how many warps. No autotuning: it is slow at first and not repeatable.

    precision: of a float32 product on the matrix units. "tf32x3" errs by 9e-8; "ieee" would spill on NVIDIA, and AMD
    has no other. Chosen by compiling for each target without spills; nothing here has been tuned on a GPU yet.
    """

    spline_cells: int = 64
    spline_warps: int = 8
    gather_cells: int = 4
    gather_channels: int = 1024
    gather_warps: int = 4
    sources: int = 64
    readers: int = 16
    source_channels: int = 128
    source_warps: int = 4
    precision: str = "tf32x3"


TILES = {  # by backend and bytes of a number
    ("cuda", 2): Tiles(),
    ("cuda", 4): Tiles(),
    ("hip", 2): Tiles(precision="ieee", gather_warps=2),  # of 64 threads: 8 numbers each, a load of 16 bytes
    ("hip", 4): Tiles(precision="ieee"),
}
OPTIONS = {"num_stages": 2, "enable_fp_fusion": True}  # given, because Triton's defaults differ between versions
MAX_POINTS, MAX_FIXED = 16, 32  # one tile of registers each
MIN_PIVOT = 1e-6  # of S's largest entry: float32 cannot resolve points closer than a hundredth of a cell
INTERPRETED = triton.knobs.runtime.interpret


def spline_options(tiles: Tiles) -> dict[str, Any]:
    return {"N_PAD": MAX_POINTS, "FIXED_PAD": MAX_FIXED, "CELLS": tiles.spline_cells}


def gather_block(channels: int, tiles: Tiles) -> int:
    return min(tiles.gather_channels, triton.next_power_of_2(channels))


def source_options(channels: int, tiles: Tiles, split: bool) -> dict[str, Any]:
    block = max(16, min(tiles.source_channels, triton.next_power_of_2(channels)))  # the matrix units take at least 16
    return {"SOURCES": tiles.sources, "READERS": tiles.readers, "BLOCK": block, "SPLIT": split,
            "PRECISION": tiles.precision, "INTERPRETED": INTERPRETED}  # fmt: skip


def compile_cases(backend: str) -> list[CompileCase]:
    """The paper's size, 1024 channels on 20 x 20 cells with nine points, and an odd one."""
    return [
        *spline_cases(backend, 2), *spline_cases(backend, 1),
        *gather_cases("bfloat16 1024", "*bf16", TILES[backend, 2], 20, 20, 1024),
        *gather_cases("float32 1024", "*fp32", TILES[backend, 4], 20, 20, 1024),
        *gather_cases("float16 40", "*fp16", TILES[backend, 2], 7, 33, 40),
    ]  # fmt: skip


def spline_cases(backend: str, order: int) -> list[CompileCase]:
    tiles = TILES[backend, 4]
    sizes = {**spline_options(tiles), "HW": 400, "WIDTH": 20, "N": 9, "K": 16, "CENTRE_Y": 9.5, "CENTRE_X": 9.5,
             "UNIT": 1 / 19, "MIN_SQUARED": 1e-10 / 361, "MIN_PIVOT": MIN_PIVOT, "ORDER": order,
             "MOVING": True}  # fmt: skip
    return [case(f"order {order}", kernel, "*fp32", sizes, tiles.spline_warps)
            for kernel in (spline_forward, spline_backward)]  # fmt: skip


def gather_cases(label: str, dtype: str, tiles: Tiles, height: int, width: int, channels: int) -> list[CompileCase]:
    sizes = {"HEIGHT": height, "WIDTH": width, "CHANNELS": channels, "TWO": True, "CELLS": tiles.gather_cells}
    gather = {**sizes, "BLOCK": gather_block(channels, tiles)}
    source = {**sizes, **source_options(channels, tiles, dtype != "*fp32")}
    return [
        case(label, warp_forward, dtype, gather, tiles.gather_warps),
        case(label, warp_backward_flow, dtype, gather, tiles.gather_warps),
        case(label, warp_backward_states, dtype, source, tiles.source_warps),
    ]


def case(label: str, kernel: Any, dtype: str, sizes: dict[str, Any], num_warps: int) -> CompileCase:
    """Every pointer is of `dtype`, but those to the flow and its gradient are always float32."""
    pointers = {name: dtype for name in kernel.arg_names if name.endswith("_ptr")}
    pointers["flow_ptr"] = "*fp32"
    if kernel is warp_backward_flow:
        pointers["answer_ptr"] = "*fp32"
    known = {name: value for name, value in sizes.items() if name in kernel.arg_names}
    options = {"enable_fp_fusion": OPTIONS["enable_fp_fusion"]}
    return CompileCase(label, kernel, pointers, known, num_warps, int(OPTIONS["num_stages"]), options)
