"""The fused pointwise part as torch.library operators: autograd, torch.compile and torch.export see them whole.

They can be differentiated once. They do not support vmap: their inputs have a batch dimension already.
"""

from __future__ import annotations

from typing import Any, NoReturn

import torch
from torch import Tensor

from . import kernel


def lstm_gates(
    gates: Tensor, memory: Tensor, x: Tensor, gate_gain: Tensor, gate_bias: Tensor, memory_gain: Tensor,
    memory_bias: Tensor, forget_bias: float, epsilon: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """(hidden, memory), in channels_last; arguments as the plain twin takes them, of sizes that fit."""
    height, width = memory.shape[-2:]
    parameters = (gate_gain, gate_bias, memory_gain, memory_bias)
    answer = fused(rows(gates), rows(memory), rows(x), *parameters, forget_bias, epsilon)
    hidden, memory = (part.unflatten(1, (height, width)).permute(0, 3, 1, 2) for part in answer[:2])
    return hidden, memory


def rows(maps: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H * W, C), a view when `maps` are channels_last."""
    return maps.permute(0, 2, 3, 1).flatten(1, 2)


@torch.library.custom_op("stvr::lstm_gates", mutates_args=())
def fused(
    gates: Tensor, memory: Tensor, x: Tensor, gate_gain: Tensor, gate_bias: Tensor, memory_gain: Tensor,
    memory_bias: Tensor, forget_bias: float, epsilon: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """gates (B, N, 4C), memory and x (B, N, C) -> hidden, memory, the memory before its norm, statistics (B, 5, 2)."""
    batch, cells, channels = memory.shape
    gates, memory = gates.contiguous(), memory.contiguous()
    gate_gain, gate_bias, memory_gain, memory_bias = contiguous(gate_gain, gate_bias, memory_gain, memory_bias)
    if x.stride()[1:] != (channels, 1):  # a clip of a longer sequence is read in place
        x = x.contiguous()
    sizes = kernel.tile_sizes(batch, cells, channels)
    num_tiles, once = sizes["T"], {name: sizes[name] for name in sizes if name != "TP"}
    hidden, new_memory, raw = empty_like(x, memory), empty_like(memory, memory), empty_like(memory, memory)
    tiles, memory_tiles, statistics = (
        buffer(memory, *size) for size in ((batch, 4, num_tiles, 2), (batch, num_tiles, 2), (batch, 5, 2))
    )
    options: dict[str, Any] = {"EPSILON": epsilon, "num_warps": kernel.TILE_WARPS, **kernel.OPTIONS}
    with torch.cuda.device_of(memory):
        kernel.gate_tiles[num_tiles, 4, batch](gates, tiles, **once, num_warps=kernel.TILE_WARPS, **kernel.OPTIONS)
        kernel.memory_forward[num_tiles, batch](
            gates, memory, tiles, gate_gain, gate_bias, raw, memory_tiles, statistics,
            **sizes, FORGET_BIAS=forget_bias, **options,
        )  # fmt: skip
        kernel.hidden_forward[num_tiles, batch](
            gates, raw, x, memory_tiles, gate_gain, gate_bias, memory_gain, memory_bias, statistics, hidden, new_memory,
            x.stride(0) if batch > 1 else cells * channels, **sizes, **options,  # of one item it may be anything
        )  # fmt: skip
    return hidden, new_memory, raw, statistics


@fused.register_fake
def _(gates: Tensor, memory: Tensor, x: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    hidden, new_memory, raw = empty_like(x, memory), empty_like(memory, memory), empty_like(memory, memory)
    return hidden, new_memory, raw, buffer(memory, len(memory), 5, 2)


@torch.library.custom_op("stvr::lstm_gates_backward", mutates_args=())
def fused_backward(
    dhidden: Tensor, dmemory: Tensor, gates: Tensor, memory: Tensor, raw: Tensor, statistics: Tensor,
    gate_gain: Tensor, gate_bias: Tensor, memory_gain: Tensor, memory_bias: Tensor, forget_bias: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Towards gates, memory, and (5, 2, C) towards bias and gain of the norms of the four gates and the memory."""
    batch, cells, channels = memory.shape
    dhidden, dmemory, gates, memory, raw = contiguous(dhidden, dmemory, gates, memory, raw)
    gate_gain, gate_bias, memory_gain, memory_bias = contiguous(gate_gain, gate_bias, memory_gain, memory_bias)
    sizes = kernel.strip_sizes(batch, cells, channels)
    num_strips, once = sizes["S"], {name: sizes[name] for name in sizes if name != "SP"}
    dnormal, dgates, dold = empty_like(raw, raw), empty_like(gates, gates), empty_like(memory, memory)
    rows = buffer(memory, batch, num_strips, 5, 2, channels)
    sums = buffer(memory, batch, num_strips, 5, 2)
    options: dict[str, Any] = {"num_warps": kernel.STEP_WARPS, **kernel.OPTIONS}
    with torch.cuda.device_of(memory):
        kernel.hidden_backward[num_strips, batch](
            dhidden, dmemory, gates, raw, statistics, gate_gain, gate_bias, memory_gain, memory_bias, dnormal, rows,
            sums, **once, **options,
        )  # fmt: skip
        kernel.memory_backward[num_strips, batch](
            dnormal, gates, raw, memory, statistics, gate_gain, gate_bias, memory_gain, rows, sums,
            **sizes, FORGET_BIAS=forget_bias, **options,
        )  # fmt: skip
        kernel.gates_backward[num_strips, batch](
            dhidden, dnormal, gates, raw, memory, statistics, sums, gate_gain, gate_bias, memory_gain, memory_bias,
            dgates, dold, **sizes, FORGET_BIAS=forget_bias, **options,
        )  # fmt: skip
    return dgates, dold, rows.sum((0, 1))


@fused_backward.register_fake
def _(dhidden: Tensor, dmemory: Tensor, gates: Tensor, memory: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    return empty_like(gates, gates), empty_like(memory, memory), buffer(memory, 5, 2, memory.shape[2])


def keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    gates, memory, x, *parameters, forget_bias, _ = inputs
    _, _, raw, statistics = output
    ctx.mark_non_differentiable(raw, statistics)
    ctx.save_for_backward(gates, memory, raw, statistics, *parameters)
    ctx.forget_bias, ctx.x_dtype = forget_bias, x.dtype


def backward(ctx: Any, dhidden: Tensor, dmemory: Tensor, *_: Any) -> tuple[Any, ...]:
    gates, memory, raw, statistics, *parameters = ctx.saved_tensors
    dgates, dold, slopes = fused_backward(
        dhidden, dmemory, gates, memory, raw, statistics, *parameters, ctx.forget_bias
    )
    gate_gain, gate_bias, memory_gain, memory_bias = parameters
    return (
        dgates, dold, dhidden.to(ctx.x_dtype),
        slopes[:4, 1].flatten().to(gate_gain.dtype), slopes[:4, 0].flatten().to(gate_bias.dtype),
        slopes[4, 1].to(memory_gain.dtype), slopes[4, 0].to(memory_bias.dtype), None, None,
    )  # fmt: skip


def refuse_vmap(*_: Any) -> NoReturn:
    raise NotImplementedError(
        "stvr's lstm_gates does not support vmap: its inputs have a batch dimension already, (B, 4C, H, W). "
        "Fold the mapped dimension into B."
    )


fused.register_autograd(backward, setup_context=keep)
fused.register_vmap(refuse_vmap)
fused_backward.register_vmap(refuse_vmap)


def buffer(like: Tensor, *size: int) -> Tensor:
    return torch.empty(size, dtype=torch.float32, device=like.device)


def empty_like(dtype_of: Tensor, shape_of: Tensor) -> Tensor:
    return torch.empty(shape_of.shape, dtype=dtype_of.dtype, device=shape_of.device)


def contiguous(*tensors: Tensor) -> tuple[Tensor, ...]:
    return tuple(tensor.contiguous() for tensor in tensors)
