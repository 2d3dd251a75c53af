"""Convolutions of I3D with a third to half of the multiplications, in float32 on a CPU: Winograd's, row by column.

A tile of 4 x 4 outputs is a polynomial product, taken at a few points (Toom and Cook; Lavin and Gray, CVPR 2016):
input and kernel are turned into their values there, multiplied, and the products turned back. Time steps are summed as
channels are. A stride of 2 makes four pictures of one, of its even and odd rows and columns, with half the kernel each.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from math import prod
from threading import local
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stvr.backbones.fold import FoldedUnit
from stvr.backbones.i3d import same_padding

TILE = 4  # outputs of a tile along an axis
POINTS = {3: (0, 1, -1, 0.5, -2), 4: (0, 1, -1, 0.5, -2, 2)}  # by taps; infinity is one more. The second must be 1
MIN_CHANNELS = 64  # of both sides; with fewer, turning takes longer than multiplying
MIN_TILES = 25  # of a picture; with fewer, reading the turned kernels takes longer
TILES_AT_ONCE = 200  # so that their products stay in the cache


class Turns(NamedTuple):
    """Of one axis. back (TILE, points), kernel (points, taps), there (points, points): back((kernel k) * (there x))."""

    back: Tensor
    kernel: Tensor
    there: Tensor


def turns(taps: int) -> Turns:
    """In float64, for TILE outputs of a kernel of `taps`."""
    points = POINTS[taps]
    back = [[point**power for point in points] + [float(power == TILE - 1)] for power in range(TILE)]
    kernel = [[point**power / value_at(point, others(points, point)) for power in range(taps)] for point in points]
    kernel.append([float(power == taps - 1) for power in range(taps)])
    there = [[*coefficients(others(points, point)), 0.0] for point in points] + [coefficients(points)]
    return Turns(*(torch.tensor(rows, dtype=torch.float64) for rows in (back, kernel, there)))


def others(points: Sequence[float], point: float) -> list[float]:
    return [each for each in points if each != point]


def coefficients(roots: Sequence[float]) -> list[float]:
    """Of the polynomial with these roots and the leading coefficient 1, the constant first."""
    found = [1.0]
    for root in roots:
        found = [high - root * low for high, low in zip([0.0, *found], [*found, 0.0], strict=True)]
    return found


def value_at(point: float, roots: Sequence[float]) -> float:
    value = 1.0
    for root in roots:
        value *= point - root
    return value


class Workspace(local):
    """Memory that a thread uses again: page faults of what is new would take a tenth of the time."""

    def __init__(self) -> None:
        self._kept: dict[str, Tensor] = {}

    def take(self, name: str, *shape: int) -> Tensor:
        """Anything in it, of float32; the next `take` of this name gives the same memory."""
        size = prod(shape)
        if name not in self._kept or len(self._kept[name]) < size:
            with torch.inference_mode(False):
                self._kept[name] = torch.empty(size)
        return self._kept[name][:size].view(shape)


WORKSPACE = Workspace()


class WinogradUnit(nn.Module):
    """The same function as a FoldedUnit that `suits` it, to about 2e-6 of its output; equal for any batch and threads.

    forward: (B, C, T, H, W) float32 -> (B, O, T', H', W') in channels_last_3d.
    """

    turned: Tensor
    there: Tensor
    back: Tensor

    def __init__(self, unit: FoldedUnit) -> None:
        super().__init__()
        self.unit = unit
        weight, stride = unit.conv3d.weight.double(), unit.conv3d.stride[0]
        kernel = weight if stride == 1 else halves(weight)
        back, values, there = turns(kernel.shape[-1])
        turned = torch.einsum("ai,bj,octij->abtco", values, values, kernel)  # (point, point, time, C, O)
        self.register_buffer("turned", turned.flatten(0, 1).flatten(1, 2).float().contiguous())  # (points, time C, O)
        self.register_buffer("there", torch.kron(there, there).float())
        self.register_buffer("back", torch.kron(back, back).float())
        self.points, self.channels = len(there), kernel.shape[1]

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.unit.conv3d.kernel_size, self.unit.conv3d.stride
        near = [same_padding(*sizes)[0] for sizes in zip(x.shape[2:], kernel, stride, strict=True)]
        steps, rows, columns = (-(-size // each) for size, each in zip(x.shape[2:], stride, strict=True))
        down, across = -(-rows // TILE), -(-columns // TILE)
        if down * across < MIN_TILES:
            same: Tensor = self.unit(x)
            return same
        maps = x.new_empty(len(x), steps, down, TILE, across, TILE, self.turned.shape[2])
        for clip, its_maps in zip(x, maps, strict=True):
            self._fill(its_maps, self._values(clip, near, down, across), near[0], x.shape[2])
        maps = maps.flatten(4, 5).flatten(2, 3)[:, :, :rows, :columns].movedim(-1, 1)
        return maps.contiguous(memory_format=torch.channels_last_3d)

    def _values(self, clip: Tensor, near: Sequence[int], down: int, across: int) -> Tensor:
        """One clip (C, T, H, W) at all points of all tiles: (points, tile, T C)."""
        stride, overlap = self.unit.conv3d.stride[0], self.points - TILE
        high, wide = (stride * (tiles * TILE + overlap) for tiles in (down, across))
        channels, steps, rows, columns = clip.shape
        far = wide - columns - near[2], high - rows - near[1]
        padded = F.pad(clip.movedim(0, -1).contiguous(), (0, 0, near[2], far[0], near[1], far[1]))
        pictures = padded.view(steps, high // stride, stride, wide // stride, stride, channels)
        pictures = pictures.permute(1, 3, 0, 2, 4, 5).flatten(3)  # (row, column, T, C)
        tiles = pictures.unfold(0, self.points, TILE).unfold(1, self.points, TILE).permute(4, 5, 0, 1, 2, 3)
        gathered = WORKSPACE.take("gathered", *tiles.shape).copy_(tiles).flatten(2).flatten(0, 1)
        values = WORKSPACE.take("values", *gathered.shape)
        return torch.mm(self.there, gathered, out=values).view(len(values), down * across, -1)

    def _fill(self, maps: Tensor, values: Tensor, near: int, steps: int) -> None:
        """The maps of one clip, (time, down, TILE, across, TILE, O), each step from those that its kernel sees."""
        kernel, stride, bias = self.unit.conv3d.kernel_size[0], self.unit.conv3d.stride[0], self.unit.conv3d.bias
        assert bias is not None  # a FoldedUnit has one
        down, across = maps.shape[1], maps.shape[3]
        at_once = max(TILES_AT_ONCE // across, 1)
        for step, outputs in enumerate(maps):
            begin = step * stride - near
            seen = slice(max(begin, 0) * self.channels, min(begin + kernel, steps) * self.channels)
            taps = slice(seen.start - begin * self.channels, seen.stop - begin * self.channels)
            for top in range(0, down, at_once):
                tiles = slice(top * across, min(top + at_once, down) * across)
                inputs, kernels = values[:, tiles, seen], self.turned[:, taps]
                products = WORKSPACE.take("products", *inputs.shape[:2], kernels.shape[2])
                torch.bmm(inputs, kernels, out=products)
                products[self.points + 1] += bias  # at the point (1, 1), which every output counts once
                sums = WORKSPACE.take("sums", len(self.back), products[0].numel())
                torch.mm(self.back, products.flatten(1), out=sums)
                sums = sums.view(TILE, TILE, -1, across, products.shape[2])
                torch.clamp_min(sums.permute(2, 0, 3, 1, 4), 0, out=outputs[top : top + at_once])


def halves(weight: Tensor) -> Tensor:
    """A kernel of stride 2, (O, C, T, 7, 7), as one over even and odd rows and columns: (O, 4 C, T, 4, 4)."""
    whole = F.pad(weight, (0, 1, 0, 1)).unflatten(4, (4, 2)).unflatten(3, (4, 2))  # (O, C, T, 4, even odd, 4, even odd)
    return whole.permute(0, 4, 6, 1, 2, 3, 5).flatten(1, 3)


def suits(layer: nn.Module) -> bool:
    """Whether a layer is worth it: the first of I3D, and its wide ones of 3 x 3 x 3."""
    if not isinstance(layer, FoldedUnit):
        return False
    conv = layer.conv3d
    wide = min(conv.in_channels, conv.out_channels) >= MIN_CHANNELS
    return (conv.kernel_size, conv.stride) == ((7,) * 3, (2,) * 3) or (
        wide and (conv.kernel_size, conv.stride) == ((3,) * 3, (1,) * 3)
    )


def with_fewer_products(network: nn.Module) -> nn.Module:
    """A copy with WinogradUnits for the layers that they suit. It shares the parameters of `network`."""
    copy = deepcopy(network, {id(each): each for each in network.parameters()})
    for layer in list(copy.modules()):
        for name, child in layer.named_children():
            if suits(child) and isinstance(child, FoldedUnit):
                setattr(layer, name, WinogradUnit(child))
    return copy
