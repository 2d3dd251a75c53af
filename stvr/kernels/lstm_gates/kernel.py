"""The Triton kernels of the Warp LSTM's pointwise part, forward and backward.

In memory a map is (B, N, C), N = H * W cells, channels last; the gates (B, N, 4, C): input, candidate, forget, output.
A layer norm here is over N * C numbers of one item: every program writes (mean, squared deviations) of its tile, and
the kernel that needs the norm combines the tiles (Chan et al. 1979). No atomics: the same bits every time.

Kept between the kernels, all float32:
    tiles       (B, 4, T, 2)     mean and squared deviations of each gate, a tile of CELLS cells
    statistics  (B, 5, 2)        mean and 1 / deviation of the four gates and of the memory
    rows        (B, S, 5, 2, C)  what a strip of cells adds to the gradients of bias and gain of the five norms
    sums        (B, S, 5, 2)     the same rows times the gain, summed over C: what flows back through a norm
Values are widened to float32 when loaded and rounded when stored: Triton's interpreter cannot compute in bfloat16.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import triton
import triton.language as tl

from ..compiling import CompileCase

TILE_NUMBERS = 4096  # numbers of one map that a program of the forward holds
STEP_NUMBERS = 1024  # and a program of the backward
TILE_WARPS, STEP_WARPS = 8, 4
OPTIONS = {"num_stages": 2, "enable_fp_fusion": True}  # given, because Triton's defaults differ between versions
MANY_CELLS = 2048  # in a batch: from here on long strips still keep every multiprocessor busy
LONG_STRIP, SHORT_STRIP = 16, 4  # cells that a program of the backward goes through


@triton.jit
def gate_tiles(gates_ptr, tiles_ptr, N: tl.constexpr, T: tl.constexpr, C: tl.constexpr, CELLS: tl.constexpr,
               CP: tl.constexpr):  # fmt: skip
    """One gate of one tile: its mean and squared deviations. Grid (T, 4, B)."""
    tile, gate, item = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    cell, channel = tile * CELLS + tl.arange(0, CELLS)[:, None], tl.arange(0, CP)[None, :]
    live = (cell < N) & (channel < C)
    value = tl.load(gates_ptr + ((item * N + cell) * 4 + gate) * C + channel, mask=live, other=0.0).to(tl.float32)
    _store_tile(tiles_ptr + ((item * 4 + gate) * T + tile) * 2, value, live, tile, N, C, CELLS)


@triton.jit
def memory_forward(gates_ptr, memory_ptr, tiles_ptr, gain_ptr, bias_ptr, raw_ptr, memory_tiles_ptr, statistics_ptr,
                   N: tl.constexpr, T: tl.constexpr, TP: tl.constexpr, C: tl.constexpr, CELLS: tl.constexpr,
                   CP: tl.constexpr, FORGET_BIAS: tl.constexpr, EPSILON: tl.constexpr):  # fmt: skip
    """The new memory before its norm, and that norm's tiles. Grid (T, B)."""
    tile, item = tl.program_id(0), tl.program_id(1).to(tl.int64)
    cell, channel = tile * CELLS + tl.arange(0, CELLS)[:, None], tl.arange(0, CP)[None, :]
    live, row = (cell < N) & (channel < C), item * N + cell
    mean_i, scale_i = _combine(tiles_ptr + (item * 4 + 0) * T * 2, N, T, TP, C, CELLS, EPSILON)
    mean_c, scale_c = _combine(tiles_ptr + (item * 4 + 1) * T * 2, N, T, TP, C, CELLS, EPSILON)
    mean_f, scale_f = _combine(tiles_ptr + (item * 4 + 2) * T * 2, N, T, TP, C, CELLS, EPSILON)
    gate = gates_ptr + row * 4 * C + channel
    value_i = _normal(gate, live, mean_i, scale_i) * _parameter(gain_ptr, 0, channel, C)
    value_c = _normal(gate + C, live, mean_c, scale_c) * _parameter(gain_ptr, 1, channel, C)
    value_f = _normal(gate + 2 * C, live, mean_f, scale_f) * _parameter(gain_ptr, 2, channel, C)
    value_i += _parameter(bias_ptr, 0, channel, C)
    value_c += _parameter(bias_ptr, 1, channel, C)
    value_f += _parameter(bias_ptr, 2, channel, C) + FORGET_BIAS
    old = tl.load(memory_ptr + row * C + channel, mask=live, other=0.0).to(tl.float32)
    raw = tl.sigmoid(value_f) * old + tl.sigmoid(value_i) * _tanh(value_c)
    tl.store(raw_ptr + row * C + channel, raw.to(raw_ptr.dtype.element_ty), mask=live)
    _store_tile(memory_tiles_ptr + (item * T + tile) * 2, raw, live, tile, N, C, CELLS)
    if tile == 0:
        mean_o, scale_o = _combine(tiles_ptr + (item * 4 + 3) * T * 2, N, T, TP, C, CELLS, EPSILON)
        _store_statistics(statistics_ptr + item * 10, 0, mean_i, scale_i)
        _store_statistics(statistics_ptr + item * 10, 1, mean_c, scale_c)
        _store_statistics(statistics_ptr + item * 10, 2, mean_f, scale_f)
        _store_statistics(statistics_ptr + item * 10, 3, mean_o, scale_o)


@triton.jit
def hidden_forward(gates_ptr, raw_ptr, x_ptr, memory_tiles_ptr, gain_ptr, bias_ptr, memory_gain_ptr, memory_bias_ptr,
                   statistics_ptr, hidden_ptr, memory_ptr, x_item_stride,
                   N: tl.constexpr, T: tl.constexpr, TP: tl.constexpr, C: tl.constexpr, CELLS: tl.constexpr,
                   CP: tl.constexpr, EPSILON: tl.constexpr):  # fmt: skip
    """The new memory and the hidden state. Grid (T, B)."""
    tile, item = tl.program_id(0), tl.program_id(1).to(tl.int64)
    cell, channel = tile * CELLS + tl.arange(0, CELLS)[:, None], tl.arange(0, CP)[None, :]
    live, row = (cell < N) & (channel < C), item * N + cell
    mean_m, scale_m = _combine(memory_tiles_ptr + item * T * 2, N, T, TP, C, CELLS, EPSILON)
    mean_o, scale_o = _load_statistics(statistics_ptr + item * 10, 3)
    memory = _normal(raw_ptr + row * C + channel, live, mean_m, scale_m) * _parameter(memory_gain_ptr, 0, channel, C)
    memory += _parameter(memory_bias_ptr, 0, channel, C)
    output = _normal(gates_ptr + (row * 4 + 3) * C + channel, live, mean_o, scale_o)
    output = output * _parameter(gain_ptr, 3, channel, C) + _parameter(bias_ptr, 3, channel, C)
    skip = tl.load(x_ptr + item * x_item_stride + cell * C + channel, mask=live, other=0.0).to(tl.float32)
    hidden = _tanh(memory) * tl.sigmoid(output) + skip
    tl.store(hidden_ptr + row * C + channel, hidden.to(hidden_ptr.dtype.element_ty), mask=live)
    tl.store(memory_ptr + row * C + channel, memory.to(memory_ptr.dtype.element_ty), mask=live)
    if tile == 0:
        _store_statistics(statistics_ptr + item * 10, 4, mean_m, scale_m)


@triton.jit
def hidden_backward(dhidden_ptr, dmemory_ptr, gates_ptr, raw_ptr, statistics_ptr, gain_ptr, bias_ptr, memory_gain_ptr,
                    memory_bias_ptr, dnormal_ptr, rows_ptr, sums_ptr,
                    N: tl.constexpr, S: tl.constexpr, C: tl.constexpr, STRIP: tl.constexpr, CELLS: tl.constexpr,
                    CP: tl.constexpr):  # fmt: skip
    """The gradient of the normalised memory; rows and sums of the output gate's norm and the memory's. Grid (S, B)."""
    strip, item = tl.program_id(0), tl.program_id(1).to(tl.int64)
    channel = tl.arange(0, CP)[None, :]
    mean_o, scale_o = _load_statistics(statistics_ptr + item * 10, 3)
    mean_m, scale_m = _load_statistics(statistics_ptr + item * 10, 4)
    gain_o, bias_o = _parameter(gain_ptr, 3, channel, C), _parameter(bias_ptr, 3, channel, C)
    gain_m, bias_m = _parameter(memory_gain_ptr, 0, channel, C), _parameter(memory_bias_ptr, 0, channel, C)
    to_bias_o, to_gain_o = _zeros(CELLS, CP), _zeros(CELLS, CP)
    to_bias_m, to_gain_m = _zeros(CELLS, CP), _zeros(CELLS, CP)
    for step in range(0, STRIP, CELLS):
        cell = strip * STRIP + step + tl.arange(0, CELLS)[:, None]
        live, place = (cell < N) & (channel < C), (item * N + cell) * C + channel
        normal_m = _normal(raw_ptr + place, live, mean_m, scale_m)
        normal_o = _normal(gates_ptr + (item * N + cell) * 4 * C + 3 * C + channel, live, mean_o, scale_o)
        shown, opened = _tanh(normal_m * gain_m + bias_m), tl.sigmoid(normal_o * gain_o + bias_o)
        dhidden = tl.load(dhidden_ptr + place, mask=live, other=0.0).to(tl.float32)
        dmemory = tl.load(dmemory_ptr + place, mask=live, other=0.0).to(tl.float32)
        dmemory += dhidden * opened * (1 - shown * shown)
        doutput = dhidden * shown * opened * (1 - opened)
        tl.store(dnormal_ptr + place, dmemory.to(dnormal_ptr.dtype.element_ty), mask=live)
        to_bias_o += doutput
        to_gain_o += doutput * normal_o
        to_bias_m += dmemory
        to_gain_m += dmemory * normal_m
    _store_rows(rows_ptr, sums_ptr, (item * S + strip) * 5 + 3, channel, to_bias_o, to_gain_o, gain_o, C)
    _store_rows(rows_ptr, sums_ptr, (item * S + strip) * 5 + 4, channel, to_bias_m, to_gain_m, gain_m, C)


@triton.jit
def memory_backward(dnormal_ptr, gates_ptr, raw_ptr, memory_ptr, statistics_ptr, gain_ptr, bias_ptr, memory_gain_ptr,
                    rows_ptr, sums_ptr,
                    N: tl.constexpr, S: tl.constexpr, SP: tl.constexpr, C: tl.constexpr, STRIP: tl.constexpr,
                    CELLS: tl.constexpr, CP: tl.constexpr, FORGET_BIAS: tl.constexpr):  # fmt: skip
    """Rows and sums of the norms of input gate, candidate and forget gate. Grid (S, B)."""
    strip, item = tl.program_id(0), tl.program_id(1).to(tl.int64)
    channel = tl.arange(0, CP)[None, :]
    mean_i, scale_i = _load_statistics(statistics_ptr + item * 10, 0)
    mean_c, scale_c = _load_statistics(statistics_ptr + item * 10, 1)
    mean_f, scale_f = _load_statistics(statistics_ptr + item * 10, 2)
    mean_m, scale_m = _load_statistics(statistics_ptr + item * 10, 4)
    flat_m, along_m = _total(sums_ptr + item * S * 10, 4, N, S, SP, C)
    gain_i, bias_i = _parameter(gain_ptr, 0, channel, C), _parameter(bias_ptr, 0, channel, C)
    gain_c, bias_c = _parameter(gain_ptr, 1, channel, C), _parameter(bias_ptr, 1, channel, C)
    gain_f, bias_f = _parameter(gain_ptr, 2, channel, C), _parameter(bias_ptr, 2, channel, C) + FORGET_BIAS
    gain_m = _parameter(memory_gain_ptr, 0, channel, C)
    to_bias_i, to_gain_i = _zeros(CELLS, CP), _zeros(CELLS, CP)
    to_bias_c, to_gain_c = _zeros(CELLS, CP), _zeros(CELLS, CP)
    to_bias_f, to_gain_f = _zeros(CELLS, CP), _zeros(CELLS, CP)
    for step in range(0, STRIP, CELLS):
        cell = strip * STRIP + step + tl.arange(0, CELLS)[:, None]
        live, place = (cell < N) & (channel < C), (item * N + cell) * C + channel
        gate = gates_ptr + (item * N + cell) * 4 * C + channel
        draw = _through_norm(dnormal_ptr + place, raw_ptr + place, live, gain_m, mean_m, scale_m, flat_m, along_m)
        old = tl.load(memory_ptr + place, mask=live, other=0.0).to(tl.float32)
        normal_i, normal_c = _normal(gate, live, mean_i, scale_i), _normal(gate + C, live, mean_c, scale_c)
        normal_f = _normal(gate + 2 * C, live, mean_f, scale_f)
        entered, candidate = tl.sigmoid(normal_i * gain_i + bias_i), _tanh(normal_c * gain_c + bias_c)
        kept = tl.sigmoid(normal_f * gain_f + bias_f)
        dinput = draw * candidate * entered * (1 - entered)
        dcandidate = draw * entered * (1 - candidate * candidate)
        dforget = draw * old * kept * (1 - kept)
        to_bias_i += dinput
        to_gain_i += dinput * normal_i
        to_bias_c += dcandidate
        to_gain_c += dcandidate * normal_c
        to_bias_f += dforget
        to_gain_f += dforget * normal_f
    _store_rows(rows_ptr, sums_ptr, (item * S + strip) * 5 + 0, channel, to_bias_i, to_gain_i, gain_i, C)
    _store_rows(rows_ptr, sums_ptr, (item * S + strip) * 5 + 1, channel, to_bias_c, to_gain_c, gain_c, C)
    _store_rows(rows_ptr, sums_ptr, (item * S + strip) * 5 + 2, channel, to_bias_f, to_gain_f, gain_f, C)


@triton.jit
def gates_backward(dhidden_ptr, dnormal_ptr, gates_ptr, raw_ptr, memory_ptr, statistics_ptr, sums_ptr, gain_ptr,
                   bias_ptr, memory_gain_ptr, memory_bias_ptr, dgates_ptr, dmemory_ptr,
                   N: tl.constexpr, S: tl.constexpr, SP: tl.constexpr, C: tl.constexpr, STRIP: tl.constexpr,
                   CELLS: tl.constexpr, CP: tl.constexpr, FORGET_BIAS: tl.constexpr):  # fmt: skip
    """The gradients of the gates and the old memory. Grid (S, B)."""
    strip, item = tl.program_id(0), tl.program_id(1).to(tl.int64)
    channel = tl.arange(0, CP)[None, :]
    statistics, sums = statistics_ptr + item * 10, sums_ptr + item * S * 10
    mean_i, scale_i = _load_statistics(statistics, 0)
    mean_c, scale_c = _load_statistics(statistics, 1)
    mean_f, scale_f = _load_statistics(statistics, 2)
    mean_o, scale_o = _load_statistics(statistics, 3)
    mean_m, scale_m = _load_statistics(statistics, 4)
    flat_i, along_i = _total(sums, 0, N, S, SP, C)
    flat_c, along_c = _total(sums, 1, N, S, SP, C)
    flat_f, along_f = _total(sums, 2, N, S, SP, C)
    flat_o, along_o = _total(sums, 3, N, S, SP, C)
    flat_m, along_m = _total(sums, 4, N, S, SP, C)
    gain_i, bias_i = _parameter(gain_ptr, 0, channel, C), _parameter(bias_ptr, 0, channel, C)
    gain_c, bias_c = _parameter(gain_ptr, 1, channel, C), _parameter(bias_ptr, 1, channel, C)
    gain_f, bias_f = _parameter(gain_ptr, 2, channel, C), _parameter(bias_ptr, 2, channel, C) + FORGET_BIAS
    gain_o, bias_o = _parameter(gain_ptr, 3, channel, C), _parameter(bias_ptr, 3, channel, C)
    gain_m, bias_m = _parameter(memory_gain_ptr, 0, channel, C), _parameter(memory_bias_ptr, 0, channel, C)
    for step in range(0, STRIP, CELLS):
        cell = strip * STRIP + step + tl.arange(0, CELLS)[:, None]
        live, place = (cell < N) & (channel < C), (item * N + cell) * C + channel
        four = (item * N + cell) * 4 * C + channel
        gate, dgate = gates_ptr + four, dgates_ptr + four
        draw = _through_norm(dnormal_ptr + place, raw_ptr + place, live, gain_m, mean_m, scale_m, flat_m, along_m)
        old = tl.load(memory_ptr + place, mask=live, other=0.0).to(tl.float32)

        normal_i, normal_c = _normal(gate, live, mean_i, scale_i), _normal(gate + C, live, mean_c, scale_c)
        entered, candidate = tl.sigmoid(normal_i * gain_i + bias_i), _tanh(normal_c * gain_c + bias_c)
        dinput = scale_i * (draw * candidate * entered * (1 - entered) * gain_i - flat_i - normal_i * along_i)
        tl.store(dgate, dinput.to(dgates_ptr.dtype.element_ty), mask=live)
        dcandidate = scale_c * (draw * entered * (1 - candidate * candidate) * gain_c - flat_c - normal_c * along_c)
        tl.store(dgate + C, dcandidate.to(dgates_ptr.dtype.element_ty), mask=live)

        normal_f = _normal(gate + 2 * C, live, mean_f, scale_f)
        kept = tl.sigmoid(normal_f * gain_f + bias_f)
        tl.store(dmemory_ptr + place, (draw * kept).to(dmemory_ptr.dtype.element_ty), mask=live)
        dforget = scale_f * (draw * old * kept * (1 - kept) * gain_f - flat_f - normal_f * along_f)
        tl.store(dgate + 2 * C, dforget.to(dgates_ptr.dtype.element_ty), mask=live)

        normal_o = _normal(gate + 3 * C, live, mean_o, scale_o)
        normal_m = _normal(raw_ptr + place, live, mean_m, scale_m)
        opened, shown = tl.sigmoid(normal_o * gain_o + bias_o), _tanh(normal_m * gain_m + bias_m)
        dhidden = tl.load(dhidden_ptr + place, mask=live, other=0.0).to(tl.float32)
        doutput = scale_o * (dhidden * shown * opened * (1 - opened) * gain_o - flat_o - normal_o * along_o)
        tl.store(dgate + 3 * C, doutput.to(dgates_ptr.dtype.element_ty), mask=live)


@triton.jit
def _tanh(value):
    return 2.0 * tl.sigmoid(2.0 * value) - 1.0


@triton.jit
def _zeros(CELLS: tl.constexpr, CP: tl.constexpr):
    return tl.zeros((CELLS, CP), tl.float32)


@triton.jit
def _parameter(pointer, norm, channel, C: tl.constexpr):
    """Gain or bias of one norm, per channel."""
    return tl.load(pointer + norm * C + channel, mask=channel < C, other=0.0).to(tl.float32)


@triton.jit
def _normal(pointer, live, mean, scale):
    """Normalised values; 0 outside the map."""
    return tl.where(live, (tl.load(pointer, mask=live, other=0.0).to(tl.float32) - mean) * scale, 0.0)


@triton.jit
def _store_tile(pointer, value, live, tile, N: tl.constexpr, C: tl.constexpr, CELLS: tl.constexpr):
    count = (tl.minimum(N - tile * CELLS, CELLS) * C).to(tl.float32)
    mean = tl.sum(tl.sum(tl.where(live, value, 0.0), axis=1), axis=0) / count
    deviation = tl.where(live, value - mean, 0.0)
    tl.store(pointer, mean)
    tl.store(pointer + 1, tl.sum(tl.sum(deviation * deviation, axis=1), axis=0))


@triton.jit
def _combine(pointer, N: tl.constexpr, T: tl.constexpr, TP: tl.constexpr, C: tl.constexpr, CELLS: tl.constexpr,
            EPSILON: tl.constexpr):  # fmt: skip
    """Mean and 1 / deviation of a norm from its T tiles, the last of which may be shorter."""
    tile = tl.arange(0, TP)
    live = tile < T
    mean = tl.load(pointer + tile * 2, mask=live, other=0.0)
    squares = tl.load(pointer + tile * 2 + 1, mask=live, other=0.0)
    count = tl.where(live, tl.minimum(N - tile * CELLS, CELLS) * C, 0).to(tl.float32)
    whole = tl.sum(mean * count) / (N * C)
    away = mean - whole
    variance = (tl.sum(squares) + tl.sum(count * away * away)) / (N * C)
    return whole, tl.rsqrt(variance + EPSILON)


@triton.jit
def _store_statistics(pointer, norm, mean, scale):
    tl.store(pointer + norm * 2, mean)
    tl.store(pointer + norm * 2 + 1, scale)


@triton.jit
def _load_statistics(pointer, norm):
    return tl.load(pointer + norm * 2), tl.load(pointer + norm * 2 + 1)


@triton.jit
def _store_rows(rows_ptr, sums_ptr, place, channel, to_bias, to_gain, gain, C: tl.constexpr):
    to_bias, to_gain = tl.sum(to_bias, axis=0)[None, :], tl.sum(to_gain, axis=0)[None, :]  # (1, CP)
    tl.store(rows_ptr + place * 2 * C + channel, to_bias, mask=channel < C)
    tl.store(rows_ptr + (place * 2 + 1) * C + channel, to_gain, mask=channel < C)
    tl.store(sums_ptr + place * 2, tl.sum(tl.sum(to_bias * gain, axis=1), axis=0))
    tl.store(sums_ptr + place * 2 + 1, tl.sum(tl.sum(to_gain * gain, axis=1), axis=0))


@triton.jit
def _total(pointer, norm, N: tl.constexpr, S: tl.constexpr, SP: tl.constexpr, C: tl.constexpr):
    """Of what flows back through a norm, over the whole item: the mean, and the mean times the normalised values."""
    strip = tl.arange(0, SP)
    flat = tl.load(pointer + strip * 10 + norm * 2, mask=strip < S, other=0.0)
    along = tl.load(pointer + strip * 10 + norm * 2 + 1, mask=strip < S, other=0.0)
    return tl.sum(flat) / (N * C), tl.sum(along) / (N * C)


@triton.jit
def _through_norm(slope_ptr, value_ptr, live, gain, mean, scale, flat, along):
    """The gradient of a value, from that of its normalised form."""
    slope = tl.load(slope_ptr, mask=live, other=0.0).to(tl.float32)
    return tl.where(live, scale * (slope * gain - flat - _normal(value_ptr, live, mean, scale) * along), 0.0)


def compile_cases(backend: str) -> list[CompileCase]:
    """The paper's size, 1024 channels on 20 x 20 cells, in both precisions and in autocast's mix; and an odd one."""
    return [
        *cases("bfloat16 1024", "*bf16", "*bf16", 400, 1024), *cases("float32 1024", "*fp32", "*fp32", 400, 1024),
        *cases("gates bfloat16, state float32 1024", "*bf16", "*fp32", 400, 1024),
        *cases("bfloat16 40", "*bf16", "*bf16", 231, 40),
    ]  # fmt: skip


def cases(label: str, gates: str, state: str, cells: int, channels: int) -> list[CompileCase]:
    """gates: the type of the gates and of their gradient; state: that of every other map."""
    whole = {"tiles_ptr", "memory_tiles_ptr", "statistics_ptr", "rows_ptr", "sums_ptr", "gain_ptr", "bias_ptr",
             "memory_gain_ptr", "memory_bias_ptr"}  # fmt: skip
    made = []
    for kernel in (gate_tiles, memory_forward, hidden_forward, hidden_backward, memory_backward, gates_backward):
        forward = kernel in (gate_tiles, memory_forward, hidden_forward)
        known = {**(tile_sizes if forward else strip_sizes)(8, cells, channels), "FORGET_BIAS": 1.0, "EPSILON": 1e-12}
        constants = {name: value for name, value in known.items() if name in kernel.arg_names}
        pointers = {name: gates if name in ("gates_ptr", "dgates_ptr") else "*fp32" if name in whole else state
                    for name in kernel.arg_names if name.endswith("_ptr")}  # fmt: skip
        warps = TILE_WARPS if forward else STEP_WARPS
        made.append(CompileCase(label, kernel, pointers | {"x_item_stride": "i32"}, constants, warps,
                                int(OPTIONS["num_stages"]), {"enable_fp_fusion": OPTIONS["enable_fp_fusion"]}))
    return made


def tile_sizes(batch: int, cells: int, channels: int) -> dict[str, int]:
    """The sizes that the kernels of the forward are compiled for."""
    width = triton.next_power_of_2(channels)
    tile = max(TILE_NUMBERS // width, 1)
    num_tiles = triton.cdiv(cells, tile)
    return {"N": cells, "T": num_tiles, "TP": triton.next_power_of_2(num_tiles), "C": channels, "CELLS": tile,
            "CP": width}  # fmt: skip


def strip_sizes(batch: int, cells: int, channels: int) -> dict[str, int]:
    """The sizes that the kernels of the backward are compiled for."""
    width = triton.next_power_of_2(channels)
    step = max(STEP_NUMBERS // width, 1)
    strip = max(LONG_STRIP if batch * cells >= MANY_CELLS else SHORT_STRIP, step)
    num_strips = triton.cdiv(cells, strip)
    return {"N": cells, "S": num_strips, "SP": triton.next_power_of_2(num_strips), "C": channels, "STRIP": strip,
            "CELLS": step, "CP": width}  # fmt: skip
