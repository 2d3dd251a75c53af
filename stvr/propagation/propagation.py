"""What a propagation promises, and what its entry in the menu holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:  # a propagation runs without pydantic: the benchmarks need torch, triton and numpy alone
    from stvr.config import Options


class Propagation(nn.Module):
    """Features (B, T, H, W, C) -> the same shape; clip t learns of the clips before it, and of those after it in its
    own window, where the propagation has windows: a stream must then come in whole ones, but for the last.

    flow (B, T, H, W, 2): where each cell of clip t comes from in clip t - 1, (y, x) in cells. Only propagations whose
    `needs_flow` is true read it, and these raise ValueError without it.
    """

    needs_flow = False
    window: int | None = None  # clips that learn of one another, before and after; None: of those before alone
    compiled: bool = False  # whether steps run through torch.compile, for those that can

    def forward(self, features: Tensor, flow: Tensor | None = None) -> Tensor:
        return self.stream(features, None, flow)[0]

    def stream(self, features: Tensor, state: Any = None, flow: Tensor | None = None) -> tuple[Tensor, Any]:
        """The same, going on from `state`; None is the start of a video. Returns features and the next state."""
        raise NotImplementedError(f"{type(self).__name__} must define stream().")


@dataclass(frozen=True, slots=True)
class PropagationEntry:
    """One entry of the menu.

    options: a frozen model in which every option has a default. build(channels, options) makes the propagation.
    needs_flow: as the built propagation has it, known before one is built.
    """

    options: type[Options]
    build: Callable[[int, Any], Propagation]
    needs_flow: bool = False
