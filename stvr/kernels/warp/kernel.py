"""The spline warp's Triton kernels on maps. No atomics: the same bits every time.

    warp_forward          a few cells x all channels of two states, which share taps and weights
    spline_warp_forward   the same, with the spline solved in every program: one launch instead of two
    warp_backward_flow    one cell: the gradient of its flow, summed over two states
    warp_backward_states  64 cells x 128 channels: the transposed gather as a matrix product

Everything is computed in float32: values are widened when loaded and narrowed when stored. Sizes are constants of the
compiled kernel. What has no weight is not read, so that an infinity stays where it is.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from ..compiling import CompileCase
from .spline_kernel import _flow, _solve, _store_solution, paper_sizes, pointers_of
from .tiles import OPTIONS, SYSTEM, TILES, Tiles


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
def _weighted(state_ptr, place, live, weight):
    """What stands at a place times its weight. Without a weight nothing is read: 0 times infinity is no number."""
    weight += tl.zeros(place.shape, tl.float32)
    return tl.load(state_ptr + place, mask=live & (weight != 0.0), other=0.0).to(tl.float32) * weight


@triton.jit
def _blend(state_ptr, warped_ptr, place, out, live, down, right, WIDTH: tl.constexpr, CHANNELS: tl.constexpr):
    """The four cells around a position; place and out, cells x channels or channels alone, are the upper left of them
    and where the answer goes."""
    top = _weighted(state_ptr, place, live, (1.0 - down) * (1.0 - right))
    top += _weighted(state_ptr, place + CHANNELS, live, (1.0 - down) * right)
    bottom = _weighted(state_ptr, place + WIDTH * CHANNELS, live, down * (1.0 - right))
    bottom += _weighted(state_ptr, place + (WIDTH + 1) * CHANNELS, live, down * right)
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
def spline_warp_forward(first_ptr, second_ptr, points_ptr, displacement_ptr, border_ptr, inverse_ptr, basis_ptr,
                        first_warped_ptr, second_warped_ptr, flow_ptr, weights_ptr, solved_ptr, HEIGHT: tl.constexpr,
                        WIDTH: tl.constexpr, CHANNELS: tl.constexpr, N: tl.constexpr, K: tl.constexpr,
                        N_PAD: tl.constexpr, FIXED_PAD: tl.constexpr, CENTRE_Y: tl.constexpr, CENTRE_X: tl.constexpr,
                        UNIT: tl.constexpr, MIN_SQUARED: tl.constexpr, MIN_PIVOT: tl.constexpr, ORDER: tl.constexpr,
                        MOVING: tl.constexpr, SHARE: tl.constexpr, CELLS: tl.constexpr, BLOCK: tl.constexpr,
                        TWO: tl.constexpr):  # fmt: skip
    """The flow of SHARE cells, as spline_forward computes it, then the states along it, as warp_forward reads them."""
    sample = tl.program_id(1)
    HW: tl.constexpr = HEIGHT * WIDTH
    base = sample.to(tl.int64) * HW * CHANNELS
    solved_y, solved_x, weight_y, weight_x, fixed_y, fixed_x, inverse = _solve(
        points_ptr, displacement_ptr, border_ptr, inverse_ptr, sample, N, K, N_PAD, FIXED_PAD, CENTRE_Y, CENTRE_X, UNIT,
        MIN_SQUARED, MIN_PIVOT, ORDER, MOVING,
    )  # fmt: skip
    if tl.program_id(0) == 0:
        _store_solution(weights_ptr, solved_ptr, sample, weight_y, weight_x, inverse, N, N_PAD)
    for step in range(0, SHARE, CELLS):
        cell = tl.program_id(0) * SHARE + step + tl.arange(0, CELLS)
        here = cell < HW
        flow_y, flow_x = _flow(
            cell, here, basis_ptr, solved_y, solved_x, weight_y, weight_x, fixed_y, fixed_x, WIDTH, FIXED_PAD, CENTRE_Y,
            CENTRE_X, UNIT, MIN_SQUARED, ORDER,
        )  # fmt: skip
        tl.store(flow_ptr + (sample * HW + cell) * 2, flow_y, mask=here)
        tl.store(flow_ptr + (sample * HW + cell) * 2 + 1, flow_x, mask=here)
        row, down, _ = _tap((cell // WIDTH).to(tl.float32) - flow_y, HEIGHT)
        column, right, _ = _tap((cell % WIDTH).to(tl.float32) - flow_x, WIDTH)
        down, right = down[:, None], right[:, None]
        for first in range(0, CHANNELS, BLOCK):
            channel = first + tl.arange(0, BLOCK)[None, :]
            live = here[:, None] & (channel < CHANNELS)
            place = base + (row * WIDTH + column)[:, None] * CHANNELS + channel
            out = base + cell[:, None] * CHANNELS + channel
            _blend(first_ptr, first_warped_ptr, place, out, live, down, right, WIDTH, CHANNELS)
            if TWO:
                _blend(second_ptr, second_warped_ptr, place, out, live, down, right, WIDTH, CHANNELS)


@triton.jit
def _finite(state_ptr, place, live, weight):
    """What stands at a place; where it has no weight and is not finite, 0, as the plain twin counts it."""
    weight += tl.zeros(place.shape, tl.float32)
    value = tl.load(state_ptr + place, mask=live, other=0.0).to(tl.float32)
    return tl.where((weight != 0.0) | (tl.abs(value) < float("inf")), value, 0.0)


@triton.jit
def _slopes(grad_ptr, state_ptr, place, out, live, down, right, WIDTH: tl.constexpr, CHANNELS: tl.constexpr):
    """The gradient times the change downwards and to the right, per channel."""
    top_left = _finite(state_ptr, place, live, (1.0 - down) * (1.0 - right))
    top_right = _finite(state_ptr, place + CHANNELS, live, (1.0 - down) * right)
    bottom_left = _finite(state_ptr, place + WIDTH * CHANNELS, live, down * (1.0 - right))
    bottom_right = _finite(state_ptr, place + (WIDTH + 1) * CHANNELS, live, down * right)
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
def _read_at(flow_ptr, sample, cell, here, HEIGHT: tl.constexpr, WIDTH: tl.constexpr):
    """Where some cells read, clamped to the map."""
    flow_y = tl.load(flow_ptr + (sample * HEIGHT * WIDTH + cell) * 2, mask=here, other=0.0)
    flow_x = tl.load(flow_ptr + (sample * HEIGHT * WIDTH + cell) * 2 + 1, mask=here, other=0.0)
    y = _clamped((cell // WIDTH).to(tl.float32) - flow_y, HEIGHT)
    x = _clamped((cell % WIDTH).to(tl.float32) - flow_x, WIDTH)
    return y, x


@triton.jit
def _one_by_one(grad_ptr, flow_ptr, answer_ptr, sample, base, source, first_channel, HEIGHT: tl.constexpr,
                WIDTH: tl.constexpr, CHANNELS: tl.constexpr, SOURCES: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """The same sums reader by reader, without what has no weight: for gradients that are not finite, and slow."""
    FEW: tl.constexpr = 16
    source_y = (source // WIDTH).to(tl.float32)
    source_x = (source % WIDTH).to(tl.float32)
    for first in range(0, BLOCK, FEW):
        channel = first_channel + first + tl.arange(0, FEW)
        few = tl.zeros((SOURCES, FEW), tl.float32)
        for reader in range(0, HEIGHT * WIDTH):
            cell = reader + tl.zeros((SOURCES,), tl.int32)
            y, x = _read_at(flow_ptr, sample, cell, cell < HEIGHT * WIDTH, HEIGHT, WIDTH)
            weight = tl.maximum(1.0 - tl.abs(y - source_y), 0.0) * tl.maximum(1.0 - tl.abs(x - source_x), 0.0)
            grad = tl.load(grad_ptr + base + reader * CHANNELS + channel, mask=channel < CHANNELS, other=0.0)
            share = weight[:, None] * grad.to(tl.float32)[None, :]
            few += tl.where(weight[:, None] != 0.0, share, 0.0)
        place = base + source[:, None] * CHANNELS + channel[None, :]
        live = (source < HEIGHT * WIDTH)[:, None] & (channel < CHANNELS)[None, :]
        tl.store(answer_ptr + place, few.to(answer_ptr.dtype.element_ty), mask=live)


@triton.jit
def warp_backward_states(first_grad_ptr, second_grad_ptr, flow_ptr, first_answer_ptr, second_answer_ptr,
                         HEIGHT: tl.constexpr, WIDTH: tl.constexpr, CHANNELS: tl.constexpr, SOURCES: tl.constexpr,
                         READERS: tl.constexpr, AHEAD: tl.constexpr, BLOCK: tl.constexpr, SPLIT: tl.constexpr,
                         PRECISION: tl.constexpr, INTERPRETED: tl.constexpr):  # fmt: skip
    """With positions clamped to the map, cell s has the weight hat(y - s_y) hat(x - s_x) in what is read at (y, x).

    AHEAD positions are read at once, and which READERS of them reach the rows of these sources is kept as bits; only
    for those a tile of weights is made in registers and multiplied with the gradients.
    """
    sample = tl.program_id(1)
    blocks: tl.constexpr = (CHANNELS + BLOCK - 1) // BLOCK
    groups: tl.constexpr = AHEAD // READERS
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
    above = (tl.program_id(0) * SOURCES // WIDTH - 1).to(tl.float32)  # rows that no reader of these sources reads in
    below = ((tl.program_id(0) * SOURCES + SOURCES - 1) // WIDTH + 1).to(tl.float32)
    total = tl.zeros((SOURCES, BLOCK), tl.float32)
    for start in range(0, HW, AHEAD):
        ahead = start + tl.arange(0, AHEAD)
        ahead_y, _ = _read_at(flow_ptr, sample, ahead, ahead < HW, HEIGHT, WIDTH)
        reaches = tl.where((ahead < HW) & (ahead_y > above) & (ahead_y < below), 1, 0)
        reaches = tl.max(tl.reshape(reaches, (groups, READERS)), axis=1)
        bits = tl.sum(reaches << tl.arange(0, groups), axis=0)
        for group in range(0, groups):
            if (bits >> group) & 1 > 0:
                cell = start + group * READERS + tl.arange(0, READERS)
                here = cell < HW
                y, x = _read_at(flow_ptr, sample, cell, here, HEIGHT, WIDTH)
                weights = tl.maximum(1.0 - tl.abs(y[None, :] - source_y), 0.0)
                weights *= tl.maximum(1.0 - tl.abs(x[None, :] - source_x), 0.0)
                weights = tl.where(here[None, :], weights, 0.0)
                place = base + cell[:, None] * CHANNELS + channel[None, :]
                live = here[:, None] & (channel < CHANNELS)[None, :]
                grad = tl.load(grad_ptr + place, mask=live, other=0.0)
                total = _product(weights, grad, total, SPLIT, PRECISION, INTERPRETED)
    if tl.max(tl.max(tl.where(tl.abs(total) < float("inf"), 0, 1), axis=1), axis=0) > 0:
        _one_by_one(grad_ptr, flow_ptr, answer_ptr, sample, base, source, (which % blocks) * BLOCK, HEIGHT, WIDTH,
                    CHANNELS, SOURCES, BLOCK)  # fmt: skip
    else:
        place = base + source[:, None] * CHANNELS + channel[None, :]
        live = (source < HW)[:, None] & (channel < CHANNELS)[None, :]
        tl.store(answer_ptr + place, total.to(answer_ptr.dtype.element_ty), mask=live)


# How they are launched.

INTERPRETED = triton.knobs.runtime.interpret


def gather_block(channels: int, tiles: Tiles) -> int:
    return min(tiles.gather_channels, triton.next_power_of_2(channels))


def fused_options(channels: int, tiles: Tiles) -> dict[str, Any]:
    return {**SYSTEM, "SHARE": tiles.fused_share, "CELLS": tiles.fused_cells, "BLOCK": gather_block(channels, tiles)}


def source_options(channels: int, tiles: Tiles, split: bool) -> dict[str, Any]:
    block = max(16, min(tiles.source_channels, triton.next_power_of_2(channels)))  # the matrix units take at least 16
    return {"SOURCES": tiles.sources, "READERS": tiles.readers, "AHEAD": tiles.ahead, "BLOCK": block, "SPLIT": split,
            "PRECISION": tiles.precision, "INTERPRETED": INTERPRETED}  # fmt: skip


def compile_cases(backend: str) -> list[CompileCase]:
    """The paper's size, 1024 channels on 20 x 20 cells with nine points, and an odd one."""
    return [
        *(fused_case(f"order {order} {label} 1024", dtype, TILES[backend, size], order)
          for order in (2, 1) for label, dtype, size in (("bfloat16", "*bf16", 2), ("float32", "*fp32", 4))),
        *gather_cases("bfloat16 1024", "*bf16", TILES[backend, 2], 20, 20, 1024),
        *gather_cases("float32 1024", "*fp32", TILES[backend, 4], 20, 20, 1024),
        *gather_cases("float16 40", "*fp16", TILES[backend, 2], 7, 33, 40),
    ]  # fmt: skip


def gather_cases(label: str, dtype: str, tiles: Tiles, height: int, width: int, channels: int) -> list[CompileCase]:
    sizes = {"HEIGHT": height, "WIDTH": width, "CHANNELS": channels, "TWO": True, "CELLS": tiles.gather_cells}
    gather = {**sizes, "BLOCK": gather_block(channels, tiles)}
    source = {**sizes, **source_options(channels, tiles, dtype != "*fp32")}
    return [
        case(label, warp_forward, dtype, gather, tiles.gather_warps),
        case(label, warp_backward_flow, dtype, gather, tiles.gather_warps),
        case(label, warp_backward_states, dtype, source, tiles.source_warps),
    ]


def fused_case(label: str, dtype: str, tiles: Tiles, order: int) -> CompileCase:
    sizes = {**paper_sizes(order), **fused_options(1024, tiles), "HEIGHT": 20, "CHANNELS": 1024, "TWO": True}
    return case(label, spline_warp_forward, dtype, sizes, tiles.fused_warps)


def case(label: str, kernel: Any, dtype: str, sizes: dict[str, Any], num_warps: int) -> CompileCase:
    """Pointers to maps are of `dtype`, all others float32."""
    maps = ("first", "second")
    pointers = {name: dtype if name.startswith(maps) else "*fp32" for name in pointers_of(kernel)}
    known = {name: value for name, value in sizes.items() if name in kernel.arg_names}
    options = {"enable_fp_fusion": OPTIONS["enable_fp_fusion"]}
    return CompileCase(label, kernel, pointers, known, num_warps, int(OPTIONS["num_stages"]), options)
