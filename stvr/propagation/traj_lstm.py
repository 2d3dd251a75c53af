"""The TrajLSTM cell, the paper's rival: learnt flows for every cell in place of the polyharmonic spline.

The structure-generating network is TrajGRU's (Shi et al., NIPS 2017, eq. 1 and its released network): from the clip and
the hidden state it makes five flows, and the state is read where each of them points.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stvr.kernels.warp import dense_warp
from stvr.propagation.warp_lstm import WarpLSTMCell

NUM_LINKS = 5  # Feng et al. 2019, section 6
STRUCTURE_WIDTH = 32  # TrajGRU's released network
LEAK = 0.2


class TrajLSTMCell(WarpLSTMCell):
    """One clip's step on maps (B, C, H, W), as `WarpLSTMCell` but for how the state is aligned.

    The hidden state is read along every link, the readings joined by a 1x1 convolution, as TrajGRU does. The memory,
    which TrajGRU has none of, is read along the same links and averaged, so that the two stay in step.
    """

    def __init__(self, channels: int, *, num_links: int = NUM_LINKS, **options: Any) -> None:
        super().__init__(channels, warp=False, **options)
        self.structure = StructureNetwork(channels, num_links)
        self.join = nn.Conv2d(num_links * channels, channels, 1, bias=False)
        with torch.no_grad():  # the average, to begin with
            eye = torch.eye(channels)[:, :, None, None] / num_links
            self.join.weight.copy_(eye.repeat(1, num_links, 1, 1))

    def align(self, x: Tensor, hidden: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        flows = self.structure(x, hidden)
        readings = [dense_warp(hidden, flow) for flow in flows]
        memories = [dense_warp(memory, flow) for flow in flows]
        return self.join(torch.cat(readings, 1)), torch.stack(memories).mean(0)


class StructureNetwork(nn.Module):
    """(x, hidden), each (B, C, H, W) -> `num_links` flows (B, H, W, 2) in cells, (y, x)."""

    def __init__(self, channels: int, num_links: int) -> None:
        super().__init__()
        self.from_input = nn.Conv2d(channels, STRUCTURE_WIDTH, 5, padding=2)
        self.from_hidden = nn.Conv2d(channels, STRUCTURE_WIDTH, 5, padding=2)
        self.flows = nn.Conv2d(STRUCTURE_WIDTH, 2 * num_links, 5, padding=2)

    def forward(self, x: Tensor, hidden: Tensor) -> list[Tensor]:
        both = F.leaky_relu(self.from_input(x) + self.from_hidden(hidden), LEAK)
        return list(self.flows(both).permute(0, 2, 3, 1).split(2, -1))
