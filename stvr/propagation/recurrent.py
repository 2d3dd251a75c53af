"""A cell applied clip after clip, whole or streamed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from stvr.propagation.propagation import Propagation

COMPILED_CLIPS = 6  # as many as one compiled region takes: the paper's training length; the rest go one by one
COMPILED_REGIONS = 64


class Recurrent(Propagation):
    """Runs `cell(x, state) -> (hidden, state)` over the clips, or `cell(x, state, flow)` where the cell needs flow.

    A cell may have `look(clips) -> seen`, what it computes of clips without their past: it is called on all clips at
    once, and each step is given its own part, `cell(..., seen=seen)`. `stvr.propagation.cell.Cell` is such a cell.

    compiled: steps run through `torch.compile`, several in one region, on CUDA as CUDA graphs, with the same answers.
    The first call of every size takes a minute, so it is for long jobs. May be set at any time.
    """

    def __init__(self, cell: nn.Module, *, compiled: bool = False) -> None:
        super().__init__()
        self.cell, self.compiled = cell, compiled
        self.needs_flow = bool(getattr(cell, "needs_flow", False))

    def stream(self, features: Tensor, state: Any = None, flow: Tensor | None = None) -> tuple[Tensor, Any]:
        clips = features.permute(0, 1, 4, 2, 3)  # (B, T, C, H, W), channels last in memory
        seen, flow = self.look(clips), flow if self.needs_flow else None
        if not self.compiled:
            return take_steps(self.cell, clips, state, seen, flow)
        answers = []
        for part in parts(clips.shape[1], COMPILED_CLIPS):
            inputs = [None if each is None else each[:, part] for each in (seen, flow)]
            answer, state = take_compiled_steps(self.cell, clips[:, part], state, *inputs)
            answers.append(answer)
        return torch.cat(answers, 1), state

    def look(self, clips: Tensor) -> Tensor | None:
        """(B, T, C, H, W) -> (B, T, ...)"""
        look: Callable[[Tensor], Tensor | None] = getattr(self.cell, "look", lambda clips: None)
        seen = look(clips.flatten(0, 1))
        return None if seen is None else seen.unflatten(0, clips.shape[:2])


def take_steps(
    cell: nn.Module, clips: Tensor, state: Any, seen: Tensor | None, flow: Tensor | None
) -> tuple[Tensor, Any]:
    """clips (B, T, C, H, W) -> features (B, T, H, W, C) and the state after the last."""
    inputs = {name: each.unbind(1) for name, each in (("seen", seen), ("flow", flow)) if each is not None}
    hidden = []
    for step, clip in enumerate(clips.unbind(1)):
        answer, state = cell(clip, state, **{name: each[step] for name, each in inputs.items()})
        hidden.append(answer.permute(0, 2, 3, 1))
    return torch.stack(hidden, 1), state


def take_compiled_steps(cell: nn.Module, clips: Tensor, state: Any, *inputs: Tensor | None) -> tuple[Tensor, Any]:
    """The same. A CUDA graph writes every answer into the same memory, so what is kept of an answer is copied."""
    if not clips.is_cuda:
        answer: tuple[Tensor, Any] = compiled_steps("default")(cell, clips, state, *inputs)
        return answer
    if not torch.is_grad_enabled():
        torch.compiler.cudagraph_mark_step_begin()
    features, state = compiled_steps("reduce-overhead")(cell, clips, state, *inputs)
    return features.clone(), type(state)(*(each.clone() for each in state))


@cache
def compiled_steps(mode: str) -> Callable[..., tuple[Tensor, Any]]:
    """One for the process. Each cell, size, type and kind of call is a region of its own; torch allows but 8."""
    config = import_module("torch._dynamo.config")
    config.recompile_limit = max(config.recompile_limit, COMPILED_REGIONS)  # type: ignore[attr-defined]
    return torch.compile(take_steps, mode=mode, dynamic=False)


def parts(count: int, most: int) -> Iterator[slice]:
    """0 to `count` in slices of `most`, then one by one."""
    whole = count - count % most
    yield from (slice(start, start + most) for start in range(0, whole, most))
    yield from (slice(start, start + 1) for start in range(whole, count))
