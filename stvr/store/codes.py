"""Make feature maps smaller at a stated error. The menu is CODES."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Maps = NDArray[np.float16]  # (N, row, column, time, channel)
Parts = dict[str, NDArray[Any]]  # what a store keeps: "" is the maps, "levels" says what their numbers mean

LEVELS = 255  # steps of int8
KEPT_BITS = 7  # of float16's ten bits of mantissa; bfloat16 has as many


def lossless(maps: Maps) -> Parts:
    return {"": maps}


def bits7(maps: Maps) -> Parts:
    """Rounds the last three bits of each mantissa away, to nearest with ties to even; no number becomes infinite.

    The largest relative error is 2**-8; below float16's normal numbers the largest absolute error is 2**-22. Reading
    costs nothing.
    """
    dropped = 10 - KEPT_BITS
    bits = maps.astype(np.float16).view(np.uint16)
    half, odd = (1 << dropped - 1) - 1, bits >> dropped & 1
    rounded = (bits + half + odd) & np.uint16(0xFFFF << dropped & 0xFFFF)
    infinite = (rounded & 0x7FFF) >= 0x7C00  # rounded up too far: these are rounded down
    return {"": np.where(infinite, bits & (0xFFFF << dropped & 0xFFFF), rounded).astype(np.uint16).view(np.float16)}


def int8(maps: Maps) -> Parts:
    """Evenly spaced levels between the smallest and the largest value of each channel of each clip.

    The largest error is half a step, (largest - smallest) / 510, plus the rounding to float16 when it is read.
    levels (N, 2, channel) float32: the smallest value and the step.
    """
    values = maps.astype(np.float32)
    axes = (1, 2, 3)
    least = values.min(axes, keepdims=True)
    step = (values.max(axes, keepdims=True) - least) / LEVELS
    numbers = np.rint((values - least) / np.where(step > 0, step, 1)).astype(np.uint8)
    return {"": numbers, "levels": np.stack([least, step], 1).reshape(len(maps), 2, maps.shape[-1])}


def from_int8(parts: Parts) -> Maps:
    least, step = (parts["levels"][:, row, None, None, None] for row in (0, 1))
    return (parts[""] * step + least).astype(np.float16)


CODES: dict[str, Callable[[Maps], Parts]] = {"lossless": lossless, "bits7": bits7, "int8": int8}


def encode(maps: Maps, compress: str) -> Parts:
    return CODES[compress](maps) if maps.ndim == 5 else {"": maps}  # the writer reports a wrong shape


def decode(parts: Parts, compress: str) -> Maps:
    return from_int8(parts) if compress == "int8" else parts[""]


def check_code(compress: str) -> None:
    if compress not in CODES:
        raise LookupError(f"there is no compression {compress!r}. Choose one of {', '.join(CODES)}.")
