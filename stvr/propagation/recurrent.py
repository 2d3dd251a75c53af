"""A cell applied clip after clip, whole or streamed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Propagation(nn.Module):
    """Features (B, T, H, W, C) -> the same shape; clip t is told of the clips before it, never of those after.

    flow (B, T, H, W, 2): where each cell of clip t comes from in clip t - 1, (y, x) in cells. Only those whose
    `needs_flow` is true read it; they cannot do without.
    """

    needs_flow = False

    def forward(self, features: Tensor, flow: Tensor | None = None) -> Tensor:
        return self.stream(features, None, flow)[0]

    def stream(self, features: Tensor, state: Any = None, flow: Tensor | None = None) -> tuple[Tensor, Any]:
        """The same from where `state` left off; None is the start of a video. Returns features and the next state."""
        raise NotImplementedError(f"{type(self).__name__} must define stream().")


class Recurrent(Propagation):
    """Runs `cell(x, state) -> (hidden, state)` over the clips, or `cell(x, state, flow)` where the cell needs flow."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell
        self.needs_flow = bool(getattr(cell, "needs_flow", False))

    def stream(self, features: Tensor, state: Any = None, flow: Tensor | None = None) -> tuple[Tensor, Any]:
        hidden = []
        flows = flow.unbind(1) if flow is not None else [None] * features.shape[1]
        clips = features.permute(1, 0, 4, 2, 3)  # T of (B, C, H, W), channels last in memory
        for clip, moved in zip(clips, flows, strict=True):
            answer, state = self.cell(clip, state, moved) if self.needs_flow else self.cell(clip, state)
            hidden.append(answer.permute(0, 2, 3, 1))
        return torch.stack(hidden, 1), state
