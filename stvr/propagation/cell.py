"""One recurrent step: an aligner moves the state onto the new clip, then gates update it."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn


class LSTMState(NamedTuple):
    """What a cell carries from clip to clip: hidden and memory, each (B, C, H, W)."""

    hidden: Tensor
    memory: Tensor


class Aligner(nn.Module):
    """(x, state, flow) -> the state, moved to where things are in the clip x (B, C, H, W).

    flow (B, H, W, 2): where each cell of the clip comes from, (y, x) in cells; only aligners whose `needs_flow` is true
    read it. It is None at the first clip of a video, where the state is zero.
    """

    needs_flow = False

    def forward(self, x: Tensor, state: LSTMState, flow: Tensor | None = None) -> LSTMState:
        raise NotImplementedError(f"{type(self).__name__} must define forward().")


class Gates(nn.Module):
    """(x, state, seen) -> the next state, on maps (B, C, H, W). channels: of the state."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor, state: LSTMState, seen: Tensor | None = None) -> LSTMState:
        """seen: what `look` returned for x, where it was asked ahead."""
        raise NotImplementedError(f"{type(self).__name__} must define forward().")

    def look(self, clips: Tensor) -> Tensor | None:
        """What can be computed of clips (N, C, H, W) before their state is known; None where nothing can."""
        return None


class Cell(nn.Module):
    """One clip's step, on maps (B, C, H, W) -> hidden (B, C, H, W) and the state to carry.

    aligner: None leaves the state where it is. Raises ValueError when the aligner needs a flow and there is none.
    """

    def __init__(self, aligner: Aligner | None, gates: Gates) -> None:
        super().__init__()
        self.aligner, self.gates = aligner, gates
        self.needs_flow = aligner is not None and aligner.needs_flow

    def forward(
        self, x: Tensor, state: LSTMState | None = None, flow: Tensor | None = None, *, seen: Tensor | None = None
    ) -> tuple[Tensor, LSTMState]:
        """seen: what `look` returned for x, where it was asked ahead for many clips."""
        if self.needs_flow and flow is None:
            raise ValueError("this propagation moves its state by optical flow, and there is none. Extract with "
                             "--flow ilk (or tvl1, or raft), or choose another --propagation.")
        if state is None:
            state, flow = zero_state(x, self.gates.channels), None  # no flow moves a zero
        if self.aligner is not None:
            state = self.aligner(x, state, flow)
        state = self.gates(x, state, seen)
        return state.hidden, state

    def look(self, clips: Tensor) -> Tensor | None:
        """What the gates compute of clips (N, C, H, W) alone; see `Gates.look`."""
        return self.gates.look(clips)


def zero_state(x: Tensor, channels: int) -> LSTMState:
    """The state before the first clip, channels last in memory."""
    batch, _, height, width = x.shape
    zero = x.new_zeros(batch, height, width, channels).permute(0, 3, 1, 2)
    return LSTMState(zero, zero)
