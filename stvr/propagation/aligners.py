"""Where the state of the last clip is read: by a spline, by a given flow, or by learnt flows.

In all three, hidden and memory are moved together, so that the two stay in step.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stvr.kernels import spline_warp
from stvr.kernels.warp import dense_warp, number, warp_all
from stvr.propagation.cell import Aligner, LSTMState
from stvr.propagation.initial import xavier_uniform_

NUM_CONTROL_POINTS_A_SIDE = 3  # the program: cells 5, 10, 15 of 20 in both directions
NUM_LINKS = 5  # Feng et al. 2019, section 6
STRUCTURE_WIDTH = 32  # TrajGRU's released network
HAVE_AUTOCAST = frozenset(  # asked here, because torch.compile of torch 2.11 cannot look through the question
    kind for kind in ("cpu", "cuda", "mps", "xpu") if torch.amp.is_autocast_available(kind)
)
LEAK = 0.2


class SplineAligner(Aligner):
    """The Warp LSTM's (Feng et al. 2019, eq. 4): nine control points move, and a spline carries the rest along.

    order: of the polyharmonic spline.
    """

    def __init__(self, channels: int, *, order: int = 2) -> None:
        super().__init__()
        self.order = order
        self.offsets = SeparableOffsets(2 * channels)

    def forward(self, x: Tensor, state: LSTMState, flow: Tensor | None = None) -> LSTMState:
        height, width = x.shape[-2:]
        points = points_on(number(height), number(width), x.device)
        moves = self.offsets([x, state.hidden], points)
        return LSTMState(*spline_warp(state, points, moves, order=self.order))


class SeparableOffsets(nn.Module):
    """How far each control point moves between two clips: a depthwise then a pointwise 1x1, at these points alone."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Parameter(torch.empty(channels))
        self.pointwise = nn.Linear(channels, 2)
        xavier_uniform_(self.depthwise, channels, 1)
        xavier_uniform_(self.pointwise.weight, channels, 2)
        nn.init.zeros_(self.pointwise.bias)

    def forward(self, maps: Sequence[Tensor], points: Tensor) -> Tensor:
        """Maps (B, C, H, W) each, side by side; points (N, 2) on whole cells -> displacement (B, N, 2), (y, x).

        In float32 under autocast too: bfloat16 would keep a displacement of five cells to a fiftieth of one.
        """
        rows, columns = points.long().unbind(1)
        wide, kind = self.depthwise.dtype, points.device.type
        with torch.autocast(kind, enabled=False) if kind in HAVE_AUTOCAST else nullcontext():
            sites = torch.cat([each[:, :, rows, columns].to(wide) for each in maps], 1)  # (B, C, N)
            return self.pointwise(sites.mT * self.depthwise)


@torch.compiler.assume_constant_result
def points_on(height: int, width: int, device: torch.device) -> Tensor:
    """`control_points` on a device, made once: a cell copies nothing there."""
    return _kept_points(height, width, device)


@lru_cache(maxsize=64)
def _kept_points(height: int, width: int, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return control_points(height, width).to(device)


def control_points(height: int, width: int) -> Tensor:
    """A 3x3 grid of whole cells, row-major (9, 2) float32 (y, x): cells 5, 10, 15 of 20."""
    steps = torch.arange(1, NUM_CONTROL_POINTS_A_SIDE + 1)
    parts = NUM_CONTROL_POINTS_A_SIDE + 1
    return torch.cartesian_prod(steps * height // parts, steps * width // parts).float()


class FlowAligner(Aligner):
    """The optical-flow rival's (Feng et al. 2019, section 6.1): the state follows a flow that is given.

    The paper speaks of the hidden state alone; here hidden and memory are warped by the one flow, as in its Warp LSTM,
    so that the two differ in nothing but where the flow comes from.
    """

    needs_flow = True

    def forward(self, x: Tensor, state: LSTMState, flow: Tensor | None = None) -> LSTMState:
        return state if flow is None else LSTMState(*warp_all(state, flow))


class TrajectoryAligner(Aligner):
    """The TrajLSTM's, another rival: learnt flows for every cell in place of the spline.

    From the clip and the hidden state come `num_links` flows (Shi et al., NIPS 2017, eq. 1). The hidden state is read
    along each of them, the readings joined by a 1x1 convolution, as TrajGRU does. The memory, which TrajGRU does not
    have, is read along the same flows and averaged.
    """

    def __init__(self, channels: int, *, num_links: int = NUM_LINKS) -> None:
        super().__init__()
        self.structure = StructureNetwork(channels, num_links)
        self.join = nn.Conv2d(num_links * channels, channels, 1, bias=False)
        with torch.no_grad():  # the average, to begin with
            eye = torch.eye(channels)[:, :, None, None] / num_links
            self.join.weight.copy_(eye.repeat(1, num_links, 1, 1))

    def forward(self, x: Tensor, state: LSTMState, flow: Tensor | None = None) -> LSTMState:
        links = self.structure(x, state.hidden)
        readings = [dense_warp(state.hidden, link) for link in links]
        memories = [dense_warp(state.memory, link) for link in links]
        return LSTMState(self.join(torch.cat(readings, 1)), torch.stack(memories).mean(0))


class StructureNetwork(nn.Module):
    """TrajGRU's released network: (x, hidden), each (B, C, H, W) -> `num_links` flows (B, H, W, 2) in cells, (y, x)."""

    def __init__(self, channels: int, num_links: int) -> None:
        super().__init__()
        self.from_input = nn.Conv2d(channels, STRUCTURE_WIDTH, 5, padding=2)
        self.from_hidden = nn.Conv2d(channels, STRUCTURE_WIDTH, 5, padding=2)
        self.flows = nn.Conv2d(STRUCTURE_WIDTH, 2 * num_links, 5, padding=2)

    def forward(self, x: Tensor, hidden: Tensor) -> list[Tensor]:
        both = F.leaky_relu(self.from_input(x) + self.from_hidden(hidden), LEAK)
        return list(self.flows(both).permute(0, 2, 3, 1).split(2, -1))
