"""The Triton kernels of crop and maximum. No atomics: the same bits every time.

    crop_max_forward   one row of bins of one box x all channels: samples, and the largest of each four
    crop_max_backward  one cell of one map x all channels: gathers from the bins of that map's boxes that read it

A bin's samples never reach memory, and the backward needs one byte a number. Everything is computed in float32: values
are widened when loaded and narrowed when stored. Sizes are constants of the compiled kernel, numbers of boxes are not.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import triton
import triton.language as tl

from ..compiling import CompileCase
from .reference import BINS, ROUNDING, SAMPLES

LAST = tl.constexpr(SAMPLES - 1)
SIDE = tl.constexpr(BINS)
EDGE = tl.constexpr(1 + ROUNDING)
PADDED = tl.constexpr(16)  # samples of a side, as a tile


@triton.jit
def _position(low, high, sample, LENGTH: tl.constexpr):
    """In cells along one side, and whether it is on the map."""
    first = 2.0 * low - 1.0
    along = first + sample * (1.0 / LAST) * (2.0 * high - 1.0 - first)  # -1 and 1 are the outermost centres
    clamped = tl.where(along >= -1.0, tl.minimum(along, 1.0), -1.0)  # -1 for a NaN
    position = (clamped + 1.0) * 0.5 * (LENGTH - 1)
    inside = clamped >= -1.0 if LENGTH == 1 else (along >= -EDGE) & (along <= EDGE)
    return position, inside


@triton.jit
def _tap(low, high, sample, LENGTH: tl.constexpr):
    """The cells on both sides of a sample, how far it is from the first, whether it is on the map."""
    position, inside = _position(low, high, sample, LENGTH)
    before = position.to(tl.int32)
    return before, tl.minimum(before + 1, LENGTH - 1), position - before.to(tl.float32), inside


@triton.jit
def _sample(map_ptr, above, below, down, before, after, across, live, channel, WIDTH: tl.constexpr,
            CHANNELS: tl.constexpr):  # fmt: skip
    top_left = tl.load(map_ptr + (above * WIDTH + before) * CHANNELS + channel, mask=live, other=0.0).to(tl.float32)
    top_right = tl.load(map_ptr + (above * WIDTH + after) * CHANNELS + channel, mask=live, other=0.0).to(tl.float32)
    bottom_left = tl.load(map_ptr + (below * WIDTH + before) * CHANNELS + channel, mask=live, other=0.0).to(tl.float32)
    bottom_right = tl.load(map_ptr + (below * WIDTH + after) * CHANNELS + channel, mask=live, other=0.0).to(tl.float32)
    top = top_left * (1.0 - across) + top_right * across
    bottom = bottom_left * (1.0 - across) + bottom_right * across
    return top * (1.0 - down) + bottom * down


@triton.jit
def _larger(best, which, value, place):
    """The first of equals, and a NaN, as max_pool2d."""
    better = (value > best) | (value != value)
    return tl.where(better, value, best), tl.where(better, place, which)


@triton.jit
def crop_max_forward(maps_ptr, boxes_ptr, owners_ptr, answer_ptr, which_ptr, each, num_maps, HEIGHT: tl.constexpr,
                     WIDTH: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr, OWNED: tl.constexpr,
                     KEEP: tl.constexpr):  # fmt: skip
    box = tl.program_id(0) // SIDE
    bin_row = tl.program_id(0) % SIDE
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    owner = tl.load(owners_ptr + box) if OWNED else box // each
    known = (owner >= 0) & (owner < num_maps)
    map_ptr = maps_ptr + owner.to(tl.int64) * (HEIGHT * WIDTH * CHANNELS)
    left = tl.load(boxes_ptr + box * 4)
    top = tl.load(boxes_ptr + box * 4 + 1)
    right = tl.load(boxes_ptr + box * 4 + 2)
    bottom = tl.load(boxes_ptr + box * 4 + 3)
    above0, below0, down0, inside0 = _tap(top, bottom, 2 * bin_row, HEIGHT)
    above1, below1, down1, inside1 = _tap(top, bottom, 2 * bin_row + 1, HEIGHT)
    end0 = tl.where(inside0 & known, CHANNELS, 0)  # channels that a sample of this row has: none off the map
    end1 = tl.where(inside1 & known, CHANNELS, 0)
    for bin_column in range(SIDE):
        before2, after2, across2, inside2 = _tap(left, right, 2 * bin_column, WIDTH)
        before3, after3, across3, inside3 = _tap(left, right, 2 * bin_column + 1, WIDTH)
        end2 = tl.where(inside2, CHANNELS, 0)
        end3 = tl.where(inside3, CHANNELS, 0)
        best = _sample(map_ptr, above0, below0, down0, before2, after2, across2,
                       channel < tl.minimum(end0, end2), channel, WIDTH, CHANNELS)  # fmt: skip
        value1 = _sample(map_ptr, above0, below0, down0, before3, after3, across3,
                         channel < tl.minimum(end0, end3), channel, WIDTH, CHANNELS)  # fmt: skip
        value2 = _sample(map_ptr, above1, below1, down1, before2, after2, across2,
                         channel < tl.minimum(end1, end2), channel, WIDTH, CHANNELS)  # fmt: skip
        value3 = _sample(map_ptr, above1, below1, down1, before3, after3, across3,
                         channel < tl.minimum(end1, end3), channel, WIDTH, CHANNELS)  # fmt: skip
        best, which = _larger(best, tl.zeros((BLOCK,), tl.int32), value1, 1)
        best, which = _larger(best, which, value2, 2)
        best, which = _larger(best, which, value3, 3)
        out = (tl.program_id(0).to(tl.int64) * SIDE + bin_column) * CHANNELS + channel
        tl.store(answer_ptr + out, best.to(answer_ptr.dtype.element_ty), mask=channel < CHANNELS)
        if KEEP:
            tl.store(which_ptr + out, which.to(tl.uint8), mask=channel < CHANNELS)


@triton.jit
def _weight(low, high, sample, cell, LENGTH: tl.constexpr):
    """Of a cell in a sample, along one side."""
    position, inside = _position(low, high, sample, LENGTH)
    return tl.where(inside, tl.maximum(1.0 - tl.abs(position - cell), 0.0), 0.0)


@triton.jit
def _bins(low, high, cell, LENGTH: tl.constexpr):
    """The first bin that reads a cell, and the one after the last: positions grow or shrink along the side."""
    sample = tl.arange(0, PADDED)
    reads = (_weight(low, high, sample, cell, LENGTH) > 0.0) & (sample <= LAST)
    first = tl.min(tl.where(reads, sample, 2 * SIDE), axis=0) // 2
    return first, tl.max(tl.where(reads, sample + 2, 0), axis=0) // 2


@triton.jit
def crop_max_backward(grad_ptr, which_ptr, boxes_ptr, order_ptr, starts_ptr, answer_ptr, each, HEIGHT: tl.constexpr,
                      WIDTH: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr,
                      OWNED: tl.constexpr):  # fmt: skip
    row = tl.program_id(0) // WIDTH
    column = tl.program_id(0) % WIDTH
    owner = tl.program_id(1)
    channel = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    live = channel < CHANNELS
    if OWNED:
        place = tl.load(starts_ptr + owner)
        end = tl.load(starts_ptr + owner + 1)
    else:
        place = owner.to(tl.int64) * each
        end = place + each
    total = tl.zeros((BLOCK,), tl.float32)
    while place < end:
        box = tl.load(order_ptr + place) if OWNED else place
        left = tl.load(boxes_ptr + box * 4)
        top = tl.load(boxes_ptr + box * 4 + 1)
        right = tl.load(boxes_ptr + box * 4 + 2)
        bottom = tl.load(boxes_ptr + box * 4 + 3)
        bin_row, end_row = _bins(top, bottom, row.to(tl.float32), HEIGHT)
        first_column, end_column = _bins(left, right, column.to(tl.float32), WIDTH)
        grads_ptr = grad_ptr + box * (SIDE * SIDE * CHANNELS)  # of this box: offsets in it are of 32 bits
        whiches_ptr = which_ptr + box * (SIDE * SIDE * CHANNELS)
        while bin_row < end_row:
            upper = _weight(top, bottom, 2 * bin_row, row.to(tl.float32), HEIGHT)
            lower = _weight(top, bottom, 2 * bin_row + 1, row.to(tl.float32), HEIGHT)
            bin_column = first_column
            while bin_column < end_column:
                before = _weight(left, right, 2 * bin_column, column.to(tl.float32), WIDTH)
                after = _weight(left, right, 2 * bin_column + 1, column.to(tl.float32), WIDTH)
                within = (bin_row * SIDE + bin_column) * CHANNELS + channel
                which = tl.load(whiches_ptr + within, mask=live, other=0).to(tl.int32)
                grad = tl.load(grads_ptr + within, mask=live, other=0.0).to(tl.float32)
                weight = tl.where(which < 2, upper, lower) * tl.where((which & 1) == 0, before, after)
                total += weight * grad
                bin_column += 1
            bin_row += 1
        place += 1
    out = ((owner.to(tl.int64) * HEIGHT + row) * WIDTH + column) * CHANNELS + channel
    tl.store(answer_ptr + out, total.to(answer_ptr.dtype.element_ty), mask=live)


# How they are launched.


@dataclass(frozen=True, slots=True)
class Tiles:
    """How many channels one program takes on, and with how many warps. Nothing here has been tuned on a GPU yet."""

    channels: int = 1024
    warps: int = 4


TILES = {  # by backend and bytes of a number
    ("cuda", 2): Tiles(),
    ("cuda", 4): Tiles(),
    ("hip", 2): Tiles(warps=2),  # of 64 threads: 8 numbers each, a load of 16 bytes
    ("hip", 4): Tiles(),
}
OPTIONS = {"num_stages": 2, "enable_fp_fusion": True}  # given, because Triton's defaults differ between versions


def block_of(channels: int, tiles: Tiles) -> int:
    return min(tiles.channels, triton.next_power_of_2(channels))


def compile_cases(backend: str) -> list[CompileCase]:
    """The paper's size, 1024 channels on 20 x 20 cells with equally many boxes a map, and an odd one with owners."""
    return [
        *cases("bfloat16 1024", "*bf16", TILES[backend, 2], 20, 20, 1024, owned=False),
        *cases("float32 1024", "*fp32", TILES[backend, 4], 20, 20, 1024, owned=False),
        *cases("float16 40 owned", "*fp16", TILES[backend, 2], 7, 33, 40, owned=True),
    ]  # fmt: skip


def cases(
    label: str, dtype: str, tiles: Tiles, height: int, width: int, channels: int, *, owned: bool
) -> list[CompileCase]:
    """Both kernels: maps, answers and gradients of `dtype`."""
    sizes = {"HEIGHT": height, "WIDTH": width, "CHANNELS": channels, "BLOCK": block_of(channels, tiles), "OWNED": owned}
    rest = {"boxes_ptr": "*fp32", "which_ptr": "*u8", "answer_ptr": dtype, "each": "i32"}
    forward = {"maps_ptr": dtype, "owners_ptr": "*i64", "num_maps": "i32", **rest}
    backward = {"grad_ptr": dtype, "order_ptr": "*i64", "starts_ptr": "*i64", **rest}
    options: dict[str, Any] = {"enable_fp_fusion": OPTIONS["enable_fp_fusion"]}
    return [
        CompileCase(label, kernel, arguments, constants, tiles.warps, int(OPTIONS["num_stages"]), options)
        for kernel, arguments, constants in
        ((crop_max_forward, forward, {**sizes, "KEEP": True}), (crop_max_backward, backward, sizes))
    ]  # fmt: skip
