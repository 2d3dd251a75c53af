"""How much a program of the spline warp's kernels takes on, on each kind of device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Tiles:
    """How much one program takes on, and with how many warps. No autotuning: it is slow at first and not repeatable.

    fused_share: cells whose flow and warp one program of `spline_warp_forward` makes, fused_cells at a time, after it
    has solved the whole spline. precision: of a float32 product on the matrix units. "tf32x3" errs by 9e-8; "ieee"
    would spill on NVIDIA, and AMD has no other. Chosen by compiling for each target without spills; no others have been
    tried on a GPU.
    """

    spline_cells: int = 64
    spline_warps: int = 8
    fused_share: int = 8
    fused_cells: int = 4
    fused_warps: int = 8
    gather_cells: int = 4
    gather_channels: int = 1024
    gather_warps: int = 4
    sources: int = 64
    readers: int = 16
    ahead: int = 256  # positions that are looked at together; one bit for each `readers` of them
    source_channels: int = 128
    source_warps: int = 4
    precision: str = "tf32x3"


TILES = {  # by backend and bytes of a number
    ("cuda", 2): Tiles(),
    ("cuda", 4): Tiles(),
    ("hip", 2): Tiles(precision="ieee", gather_warps=2),  # of 64 threads: 8 numbers each, a load of 16 bytes
    ("hip", 4): Tiles(precision="ieee"),
}
OPTIONS = {"num_stages": 2, "enable_fp_fusion": True}  # given, because Triton's defaults differ between versions
MAX_POINTS, MAX_FIXED = 16, 32  # one tile of registers each
SYSTEM = {"N_PAD": MAX_POINTS, "FIXED_PAD": MAX_FIXED}
MAX_FUSED_CELLS = 2000  # of all maps; on an H100 one launch was a third faster at 400, a fifth slower at 3,200
MIN_PIVOT = 1e-6  # of S's largest entry: float32 cannot resolve points closer than a hundredth of a cell


def fits_a_program(num_points: int, num_boundary_points: int) -> bool:
    """Whether the system fits the registers of one."""
    return num_points <= MAX_POINTS and 4 * num_boundary_points + 3 <= MAX_FIXED


def spline_options(tiles: Tiles) -> dict[str, Any]:
    return {**SYSTEM, "CELLS": tiles.spline_cells}
