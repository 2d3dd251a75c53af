"""The layers of the paper's head that cost, for timing a training step without torchvision."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PaperLayers(nn.Module):
    """The layers of the paper's head that cost: propagation, proposal network, block4 on 16 regions a clip.

    Which regions, and the losses over them, are made up: choosing them is no arithmetic, and needs torchvision.
    """

    def __init__(self, propagation: nn.Module, channels: int) -> None:
        super().__init__()
        self.propagation = propagation
        self.proposals = nn.Sequential(
            nn.Conv2d(channels, channels // 2, 3, padding=1), nn.ReLU6(), nn.Conv2d(channels // 2, 72, 1)
        )
        self.units = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(2 * channels, channels // 2, 1), nn.ReLU(),
                nn.Conv2d(channels // 2, channels // 2, 3, padding=1), nn.ReLU(),
                nn.Conv2d(channels // 2, 2 * channels, 1),
            )
            for _ in range(3)
        )  # fmt: skip

    def forward(self, features: Tensor, grid: Tensor, query: Tensor) -> Tensor:
        """features (B, T, H, W, C), grid (B T, 16 * 14, 14, 2), query (B T 16, C, 7, 7) -> a loss."""
        maps = self.propagation(features).flatten(0, 1).permute(0, 3, 1, 2)
        crops = F.max_pool2d(F.grid_sample(maps, grid.to(maps.dtype), align_corners=True), 2)
        regions = crops.unflatten(2, (16, 7)).transpose(1, 2).flatten(0, 1)
        hidden = torch.cat([regions, query.to(regions.dtype)], 1)
        for unit in self.units:
            hidden = F.relu(hidden + unit(hidden))
        return self.proposals(maps).square().mean() + hidden.mean((2, 3)).square().mean()
