"""A backbone somebody else wrote: means and changes of blocks of 8 x 8 pixels. One file, one entry point."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stvr.backbones import Loaded


class Blocks(nn.Module):
    """Clips (B, T, H, W, 3) uint8 -> (B, 6, 2, H / 8, W / 8): the means of each half of a clip, and how they change."""

    def forward(self, frames: Tensor) -> Tensor:
        batch, num_frames = frames.shape[:2]
        means = F.avg_pool2d(frames.flatten(0, 1).movedim(-1, 1).float() / 255, 8).unflatten(0, (batch, num_frames))
        halves = torch.stack([half.mean(1) for half in means.tensor_split(2, 1)], 2)  # (B, 3, 2, h, w)
        changes = torch.stack([half.std(1) for half in means.tensor_split(2, 1)], 2)
        return torch.cat([halves, changes], 1)


def load_blocks(weights: Path | None, endpoint: str | None) -> Loaded:
    return Loaded(Blocks(), endpoint or "means", "sha256:blocks-1")
