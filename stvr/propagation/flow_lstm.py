"""The optical-flow rival (Feng et al. 2019, section 6.1): a ConvLSTM whose state follows a given flow."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from stvr.kernels.warp import dense_warp
from stvr.propagation.conv_lstm import LSTMState
from stvr.propagation.warp_lstm import WarpLSTMCell


class FlowLSTMCell(WarpLSTMCell):
    """One clip's step, as `WarpLSTMCell`, on maps (B, C, H, W) and the flow (B, H, W, 2) since the clip before.

    The paper speaks of the hidden state alone; here hidden and memory are warped by the one flow, as in its Warp LSTM,
    so that the two differ in nothing but where the flow comes from. options: those of `WarpLSTMCell`.
    """

    needs_flow = True

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__(channels, warp=False, **options)

    def forward(
        self, x: Tensor, state: LSTMState | None = None, flow: Tensor | None = None, *, seen: Tensor | None = None
    ) -> tuple[Tensor, LSTMState]:
        """The first clip of a video has no state to warp, so its flow is not looked at."""
        if flow is None:
            raise ValueError("this propagation warps by optical flow, and there is none. Extract with --flow ilk "
                             "(or tvl1, or raft), or choose another --propagation.")
        if state is not None:
            state = LSTMState(dense_warp(state.hidden, flow), dense_warp(state.memory, flow))
        return super().forward(x, state, seen=seen)
