"""Crop and maximum: sixteen boxes of each map, by our kernel and by torch's own operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from cases import Case, Race, no_grad
from kernel_operations import CELLS, NAMES, TOLERANCE, relative_error, there_and_back
from measuring import Bench, Variant
from predictions import Work
from torch import Tensor
from torch.nn import functional

from stvr.kernels import crop_max
from stvr.kernels.crop_max import reference


def crop_cases(bench: Bench) -> Iterator[Case]:
    channels, clips, each = (64, 2, 4) if bench.small else (1024, 48 if bench.cuda else 6, 16)
    for dtype in (torch.bfloat16, torch.float32) if bench.cuda else (torch.float32,):
        yield CropCase(clips, each, channels, dtype)


@dataclass(frozen=True)
class CropCase(Case):
    clips: int
    each: int
    channels: int
    dtype: torch.dtype
    name: str = "crop and maximum"

    @property
    def size(self) -> str:  # type: ignore[override]
        return (f"{self.clips} x {CELLS[0]} x {CELLS[1]} x {self.channels}, {self.each} boxes each, "
                f"{NAMES[self.dtype]}")  # fmt: skip

    @property
    def tolerance(self) -> float:  # type: ignore[override]
        return TOLERANCE[self.dtype]

    def inputs(self, bench: Bench) -> tuple[Tensor, Tensor]:
        maps = torch.randn(self.clips, *CELLS, self.channels, device=bench.device).to(self.dtype)
        low = torch.rand(self.clips * self.each, 2, device=bench.device) / 2
        return maps, torch.cat([low, low + 0.1 + 0.4 * torch.rand_like(low)], -1)

    def variants(self) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
        return {"grid_sample, max_pool2d": crop_by_grid, "ours": lambda maps, boxes: crop_max(maps, boxes)}

    def check(self, bench: Bench) -> dict[str, float]:
        maps, boxes = self.inputs(bench)
        owners = torch.arange(self.clips, device=bench.device).repeat_interleave(self.each)

        def twin(maps: Tensor) -> list[Tensor]:
            return [reference.crop_max(maps, boxes.to(maps.dtype), owners)]

        return {name: relative_error(lambda x, run=run: [run(x, boxes)], twin, [maps], poison=name == "ours")
                for name, run in self.variants().items()}  # fmt: skip

    def races(self, bench: Bench) -> Iterator[Race]:
        maps, boxes = self.inputs(bench)
        leaf = maps.clone().requires_grad_()
        numbers = len(boxes) * 49 * self.channels
        least = maps.nbytes + numbers * self.dtype.itemsize
        forward = {name: Variant(no_grad(lambda run=run: run(maps, boxes)), name == "ours")
                   for name, run in self.variants().items()}  # fmt: skip
        whole = {name: Variant(lambda run=run: there_and_back(lambda x: [run(x, boxes)], [leaf]), name == "ours")
                 for name, run in self.variants().items()}  # fmt: skip
        wide = self.dtype == torch.float32
        yield Race("crop and maximum, forward", forward, Work(least), least, wide)
        back = 2 * least + 2 * numbers  # and a byte a number for the way back, written and read
        yield Race("crop and maximum, forward and backward", whole, Work(back, launches=2), back, wide)


def crop_by_grid(maps: Tensor, boxes: Tensor) -> Tensor:
    """(N, H, W, C) and (R, 4) -> (R, 7, 7, C), by torch's own operators in float32; boxes within the map.

    `grid_sample` wants positions of the maps' type, and in bfloat16 they would be off by a twentieth of a cell.
    """
    low, high = (2 * boxes - 1).unflatten(0, (len(maps), -1)).split(2, -1)  # (N, K, 2)
    steps = torch.linspace(0, 1, 14, device=boxes.device)[:, None]
    across, down = (low[..., None, :] + steps * (high - low)[..., None, :]).unbind(-1)  # (N, K, 14)
    sides = (across[:, :, None, :].expand(-1, -1, 14, -1), down[..., None].expand(-1, -1, -1, 14))
    grid = torch.stack(sides, -1).flatten(1, 2)
    grid, wide = (each if each.dtype == torch.float64 else each.float() for each in (grid, maps.movedim(-1, 1)))
    crops = functional.max_pool2d(functional.grid_sample(wide, grid.to(wide.dtype), align_corners=True), 2)
    return crops.unflatten(2, (-1, 7)).permute(0, 2, 3, 4, 1).flatten(0, 1).to(maps.dtype)
