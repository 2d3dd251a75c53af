"""The networks of a progressive step (STEP, Yang et al., CVPR 2019): what is in a tubelet, and where it truly is.

Written from a description of the paper and its released configuration.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stvr.backbones.i3d import I3D, Pool
from stvr.heads.tail import Bottleneck, GroupNorm

REGION_SIZE = 7
MIXED_LR_SHARE = 0.2  # of the rate of new layers: 1.5e-4 to 7.5e-4 in the released configuration


class MixedTail(nn.Sequential):
    """I3D from the layer `first` to `last`, maps (N, C, F, H, W) -> (N, C', F, H, W); no pool may lie between them.

    Weights train, batch norms are frozen.
    """

    lr_share = MIXED_LR_SHARE

    def __init__(self, first: str, last: str) -> None:
        every = dict(I3D(last).named_children())
        super().__init__(OrderedDict(list(every.items())[list(every).index(first) :]))
        self.norms = [module.requires_grad_(False) for module in self.modules() if isinstance(module, nn.BatchNorm3d)]

    def train(self, mode: bool = True) -> MixedTail:
        super().train(mode)
        for norm in self.norms:
            norm.eval()
        return self


class PlainTail(nn.Module):
    """A few bottlenecks clip by clip, maps (N, C, F, H, W) -> the same: for training from scratch on little data."""

    def __init__(self, channels: int, width: int, units: int) -> None:
        super().__init__()
        self.units = nn.Sequential(*[Bottleneck(channels, width, GroupNorm) for _ in range(units)])

    def forward(self, maps: Tensor) -> Tensor:
        return over_clips(self.units, maps)


def over_clips(layer: nn.Module, maps: Tensor) -> Tensor:
    """A layer for pictures over maps (N, C, F, H, W), clip by clip -> (N, C', F, H', W')."""
    clips = layer(maps.transpose(1, 2).flatten(0, 1))
    return clips.unflatten(0, (len(maps), maps.shape[2])).transpose(1, 2)


class ContextBranch(nn.Module):
    """What goes on in the whole picture: maps (N, C, F, H, W) -> (N, F, D)."""

    def __init__(self, tail: nn.Module) -> None:
        super().__init__()
        self.halve, self.tail = Pool((1, 3, 3), (1, 2, 2)), tail

    def forward(self, maps: Tensor) -> Tensor:
        return self.tail(self.halve(maps)).mean((3, 4)).mT


class GlobalBranch(nn.Module):
    """What a tubelet shows, clip by clip. tail: regions (R, C, F, 7, 7) -> (R, tail_width, F, 7, 7)."""

    def __init__(self, tail: nn.Module, tail_width: int, reduced: int, context_width: int, num_outputs: int) -> None:
        super().__init__()
        self.tail = tail
        self.reduce = nn.Conv3d(tail_width, reduced, 1)
        self.out = nn.Linear(reduced * REGION_SIZE**2 + context_width, num_outputs)
        xavier(self.reduce, self.out)

    def forward(self, regions: Tensor, context: Tensor | None, dropout: float = 0.0) -> tuple[Tensor, Tensor]:
        """Regions, and context (R, F, D) -> the reduced map (R, reduced, F, 7, 7), the outputs (R, F, num_outputs)."""
        reduced = self.reduce(self.tail(regions))
        flat = reduced.transpose(1, 2).flatten(2)
        joined = flat if context is None else torch.cat([flat, context], -1)
        return reduced, self.out(F.dropout(joined, dropout, training=dropout > 0))


class LocalBranch(nn.Module):
    """Where a tubelet truly is, clip by clip; and, where it anticipates, where it was before and will be after.

    width: channels of regions and reduced map together.
    """

    def __init__(self, width: int, hidden: int, bottleneck: int, reduced: int, anticipates: bool) -> None:
        super().__init__()
        self.units = nn.Sequential(*[Residual(each, hidden, bottleneck) for each in (width, hidden, hidden)])
        self.reduce = nn.Conv2d(hidden, reduced, 1)
        flat = reduced * REGION_SIZE**2
        self.box = BoxLayer(flat)
        self.before, self.after = (BoxLayer(flat) if anticipates else None for _ in range(2))
        xavier(self.reduce)

    def forward(self, regions: Tensor, dropout: float = 0.0) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """(R, width, F, 7, 7) -> codes (R, F, 4); offsets (R, F, 4) to be added for the tubelet before and after."""
        reduced = over_clips(nn.Sequential(self.units, self.reduce), regions).transpose(1, 2).flatten(2)
        reduced = F.dropout(reduced, dropout, training=dropout > 0)
        before, after = (None if each is None else each(reduced) for each in (self.before, self.after))
        return self.box(reduced), before, after


class BoxLayer(nn.Linear):
    """Codes of boxes. Ours: it begins small and learns slowly, for Adam's first steps would move every box far."""

    lr_share = 0.1

    def __init__(self, width: int) -> None:
        super().__init__(width, 4)
        xavier(self, gain=0.1)


class TwoBranch(nn.Module):
    """One step's own network: both branches, the local one after the global one."""

    def __init__(self, what: GlobalBranch, where: LocalBranch) -> None:
        super().__init__()
        self.what, self.where = what, where


class Residual(nn.Module):
    """A bottleneck unit for pictures without norm; its shortcut is a projection where the width changes."""

    def __init__(self, width: int, out: int, bottleneck: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, bottleneck, 1, bias=False)
        self.conv2 = nn.Conv2d(bottleneck, bottleneck, 3, padding=1, bias=False)
        self.conv3 = nn.Conv2d(bottleneck, out, 1, bias=False)
        self.shortcut = nn.Identity() if width == out else nn.Conv2d(width, out, 1, bias=False)
        xavier(*(each for each in self.children() if isinstance(each, nn.Conv2d)))

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.conv2(F.relu(self.conv1(x))))
        return F.relu(self.shortcut(x) + self.conv3(hidden))


def xavier(*layers: nn.Conv2d | nn.Conv3d | nn.Linear, gain: float = 1.0) -> None:
    for layer in layers:
        nn.init.xavier_normal_(layer.weight, gain)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def build_step(
    tail: nn.Module, channels: int, tail_width: int, *, context_width: int, num_outputs: int, reduced: int = 256,
    hidden: int = 1024, bottleneck: int = 256, anticipates: bool,
) -> TwoBranch:  # fmt: skip
    """A step over regions of `channels`; the defaults are the released configuration's."""
    return TwoBranch(
        GlobalBranch(tail, tail_width, reduced, context_width, num_outputs),
        LocalBranch(channels + reduced, hidden, bottleneck, reduced, anticipates),
    )
