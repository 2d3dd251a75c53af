"""Blocks of convolutions: over a sequence seen as a picture of time and channel, and over maps in time and place."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from stvr.temporal.block import TemporalBlock, TemporalEntry

PICTURE_CHANNELS = (1, 64, 64, 128, 128, 256)  # Winter et al. 2020, their program's FCN2D
MAP_CHANNELS = (64, 128, 256)  # its FCN3D


class OnPicture(TemporalBlock):
    """The sequence as a picture (T, C) of one channel; each convolution halves the channels' axis and leaves time.

    Averaged over all that is left, so any T and C will do. Their scores go through a ReLU before that, ours do not: no
    score could be below zero.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.ReLU(), *(
            layer for inside, outside in pairwise(PICTURE_CHANNELS)
            for layer in (nn.Conv2d(inside, outside, 3, (1, 2), 1), nn.BatchNorm2d(outside), nn.ReLU())
        ))  # fmt: skip
        self.width = PICTURE_CHANNELS[-1]

    def forward(self, sequence: Tensor) -> Tensor:
        picture: Tensor = self.layers(sequence[:, None])  # (B, 256, T, C / 32)
        return picture.mean((2, 3))


class OnMaps(TemporalBlock):
    """Three convolutions over maps, each of which halves time."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.ReLU(), *(
            layer for inside, outside in pairwise((channels, *MAP_CHANNELS))
            for layer in (nn.Conv3d(inside, outside, 3, (2, 1, 1), 1), nn.BatchNorm3d(outside), nn.ReLU())
        ))  # fmt: skip
        self.width = MAP_CHANNELS[-1]

    def forward(self, sequence: Tensor) -> Tensor:
        maps: Tensor = self.layers(sequence.movedim(-1, 1))  # (B, 256, T / 8, H, W)
        return maps.mean((2, 3, 4))


FCN = TemporalEntry(lambda channels, steps, options: OnPicture())
FCN3D = TemporalEntry(lambda channels, steps, options: OnMaps(channels), on_maps=True)
