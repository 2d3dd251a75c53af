"""The spline warp as torch.library operators: autograd, torch.compile and torch.export see them whole.

Each runs on the backend that BACKENDS names for its device. They can be differentiated once. They do not support vmap:
their inputs have a batch dimension already.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from .tiles import MAX_FUSED_CELLS, fits_a_program

PLAIN, TRITON = f"{__package__}.cpu", f"{__package__}.launch"
BACKENDS = {"cpu": PLAIN, "cuda": TRITON if importlib.util.find_spec("triton") else PLAIN}


def backend_of(device: torch.device) -> ModuleType:
    """The module with the functions below; torch's "cuda" includes AMD's devices."""
    return importlib.import_module(BACKENDS.get(device.type, PLAIN))


def spline_backend(num_points: int, num_boundary_points: int, device: torch.device) -> ModuleType:
    """As `backend_of`, but plain where the system does not fit a program."""
    backend = backend_of(device)
    return backend if backend.can_solve(num_points, num_boundary_points) else importlib.import_module(PLAIN)


@torch.compiler.assume_constant_result
def constants(
    num_points: int, height: int, width: int, order: int, num_boundary_points: int, device: torch.device
) -> Tensor:
    """The part of the system that no displacement changes, made once for a size and kept.

    Outside the operators, so that a CUDA graph finds it made; torch.compile takes it for the constant that it is.
    """
    backend = spline_backend(num_points, num_boundary_points, device)
    return backend.constants(height, width, order, num_boundary_points, device)


@torch.library.custom_op("stvr::spline_flow", mutates_args=())
def spline_flow(
    points: Tensor, displacement: Tensor, fixed: Tensor, height: int, width: int, order: int, num_boundary_points: int,
    moving: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """points (N, 2), displacement (B, N, 2), fixed of `constants` -> flow (B, H, W, 2), and for the adjoint
    the spline's weights (B, N, 2) and S^-1 (B, N, N)
    """
    backend = spline_backend(len(points), num_boundary_points, displacement.device)
    return backend.spline_flow(points, displacement, fixed, height, width, order, num_boundary_points, moving)


@spline_flow.register_fake
def _(
    points: Tensor, displacement: Tensor, fixed: Tensor, height: int, width: int, *rest: Any
) -> tuple[Tensor, Tensor, Tensor]:
    batch, num_points = displacement.shape[:2]
    sizes = [(batch, height, width, 2), (batch, num_points, 2), (batch, num_points, num_points)]
    flow, weights, inverse = (displacement.new_empty(size) for size in sizes)
    return flow, weights, inverse


@torch.library.custom_op("stvr::spline_flow_backward", mutates_args=())
def spline_flow_backward(
    grad_flow: Tensor, points: Tensor, displacement: Tensor, fixed: Tensor, weights: Tensor, inverse: Tensor,
    order: int, num_boundary_points: int, moving: bool,
) -> Tensor:  # fmt: skip
    backend = spline_backend(len(points), num_boundary_points, displacement.device)
    return backend.spline_flow_backward(
        grad_flow, points, displacement, fixed, weights, inverse, order, num_boundary_points, moving
    )


@spline_flow_backward.register_fake
def _(grad_flow: Tensor, points: Tensor, displacement: Tensor, *_: Any) -> Tensor:
    return displacement.new_empty(displacement.shape)


def keep_for_spline_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    points, displacement, fixed, _, _, *ctx.options = inputs
    _, weights, inverse = output
    ctx.save_for_backward(points, displacement, fixed, weights, inverse)


def backward_of_spline(ctx: Any, grad_flow: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    grad = torch.ops.stvr.spline_flow_backward(grad_flow, *ctx.saved_tensors, *ctx.options)
    return None, grad, *(None,) * 6


spline_flow.register_autograd(backward_of_spline, setup_context=keep_for_spline_backward)


@torch.library.custom_op("stvr::warp", mutates_args=())
def warp(states: Sequence[Tensor], flow: Tensor) -> list[Tensor]:
    """States (B, C, H, W), read at every cell minus its flow (B, H, W, 2); channels last in memory."""
    return backend_of(flow.device).warp(states, flow)


@torch.library.custom_op("stvr::warp_backward_states", mutates_args=())
def warp_backward_states(grads: Sequence[Tensor], flow: Tensor) -> list[Tensor]:
    return backend_of(flow.device).warp_backward_states(grads, flow)


@warp.register_fake
@warp_backward_states.register_fake
def _(maps: Sequence[Tensor], flow: Tensor) -> list[Tensor]:
    return [channels_last_like(each) for each in maps]


def channels_last_like(maps: Tensor) -> Tensor:
    """An empty map (B, C, H, W) as the backends make it."""
    batch, channels, height, width = maps.shape
    return maps.new_empty(batch, height, width, channels).permute(0, 3, 1, 2)


@torch.library.custom_op("stvr::warp_backward_flow", mutates_args=())
def warp_backward_flow(grads: Sequence[Tensor], states: Sequence[Tensor], flow: Tensor) -> Tensor:
    return backend_of(flow.device).warp_backward_flow(grads, states, flow)


@warp_backward_flow.register_fake
def _(grads: Sequence[Tensor], states: Sequence[Tensor], flow: Tensor) -> Tensor:
    return flow.new_empty(flow.shape)


def keep_for_warp_backward(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    states, flow = inputs
    ctx.save_for_backward(flow, *states)


def backward_of_warp(ctx: Any, grads: list[Tensor | None]) -> tuple[list[Tensor | None], Tensor | None]:
    flow, *states = ctx.saved_tensors
    needs_states, needs_flow = ctx.needs_input_grad
    return towards_states_and_flow(grads, states, flow, any(needs_states), needs_flow)


def towards_states_and_flow(
    grads: Sequence[Tensor | None], states: Sequence[Tensor], flow: Tensor, needs_states: bool, needs_flow: bool
) -> tuple[list[Tensor | None], Tensor | None]:
    """The gradients of a warp; None where there is none, or nobody asks."""
    used = [place for place, grad in enumerate(grads) if grad is not None]
    present = [grad for grad in grads if grad is not None]
    towards_states: list[Tensor | None] = [None] * len(states)
    if needs_states and present:
        for place, grad in zip(used, torch.ops.stvr.warp_backward_states(present, flow), strict=True):
            towards_states[place] = grad
    towards_flow = None
    if needs_flow and present:
        towards_flow = torch.ops.stvr.warp_backward_flow(present, [states[place] for place in used], flow)
    return towards_states, towards_flow


warp.register_autograd(backward_of_warp, setup_context=keep_for_warp_backward)


@torch.library.custom_op("stvr::spline_warp", mutates_args=())
def spline_warp(
    states: Sequence[Tensor], points: Tensor, displacement: Tensor, fixed: Tensor, order: int, num_boundary_points: int,
    moving: bool,
) -> list[Tensor]:  # fmt: skip
    """`spline_flow` and `warp` in one launch, for states that `can_fuse`: the warped states, then the three answers of
    `spline_flow`."""
    backend = backend_of(displacement.device)
    warped, *solved = backend.spline_warp(states, points, displacement, fixed, order, num_boundary_points, moving)
    return [*warped, *solved]


def can_fuse(states: Sequence[Tensor], num_points: int, num_boundary_points: int) -> bool:
    """Whether one launch can warp them: one or two of a kind, on a backend that has it, of points that fit, and so few
    programs that solving the spline in each of them costs less than a launch.
    """
    first, last = states[0], states[-1]
    alike = (first.shape, first.dtype, first.device) == (last.shape, last.dtype, last.device)
    here = BACKENDS.get(first.device.type, PLAIN) == TRITON
    batch, _, height, width = first.shape
    few = batch * height * width <= MAX_FUSED_CELLS
    return here and alike and few and len(states) <= 2 and fits_a_program(num_points, num_boundary_points)


@spline_warp.register_fake
def _(states: Sequence[Tensor], points: Tensor, displacement: Tensor, *_: Any) -> list[Tensor]:
    batch, num_points = displacement.shape[:2]
    sizes = [(batch, *states[0].shape[2:], 2), (batch, num_points, 2), (batch, num_points, num_points)]
    return [*(channels_last_like(state) for state in states), *(displacement.new_empty(size) for size in sizes)]


def keep_for_both_backward(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    states, points, displacement, fixed, *ctx.options = inputs
    flow, weights, inverse = output[len(states) :]
    ctx.save_for_backward(points, displacement, fixed, flow, weights, inverse, *states)


def backward_of_both(ctx: Any, grads: list[Tensor | None]) -> tuple[Any, ...]:
    points, displacement, fixed, flow, weights, inverse, *states = ctx.saved_tensors
    needs_states, _, needs_displacement, *_ = ctx.needs_input_grad
    towards_states, towards_flow = towards_states_and_flow(
        grads[: len(states)], states, flow, any(needs_states), needs_displacement
    )
    towards = None
    if towards_flow is not None:
        towards = torch.ops.stvr.spline_flow_backward(
            towards_flow, points, displacement, fixed, weights, inverse, *ctx.options
        )
    return towards_states, None, towards, None, None, None, None


spline_warp.register_autograd(backward_of_both, setup_context=keep_for_both_backward)


def refuse_vmap(info: Any, in_dims: Any, *inputs: Any) -> Any:
    raise NotImplementedError(
        "stvr's spline warp does not support vmap: its inputs have a batch dimension already, (B, C, H, W) and "
        "(B, N, 2). "
        "Fold the mapped dimension into B."
    )


for operator in (spline_flow, spline_flow_backward, warp, warp_backward_states, warp_backward_flow, spline_warp):
    torch.library.register_vmap(operator, refuse_vmap)
