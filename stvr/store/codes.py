"""How feature maps are kept smaller at a stated error. The menu is CODES."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Maps = NDArray[np.float16]  # (N, row, column, time, channel)
Parts = dict[str, NDArray[Any]]  # what a store keeps of them: "" is the maps, "levels" what their numbers mean

LEVELS = 255  # steps of int8
KEPT_BITS = 7  # of float16's ten of mantissa, as bfloat16 has


def lossless(maps: Maps) -> Parts:
    return {"": maps}


def bits7(maps: Maps) -> Parts:
    """The last three bits of each mantissa are zero, to nearest with ties to even; no number grows beyond float16.

    The largest relative error is 2**-8, below float16's normal numbers 2**-22 absolute. Reading costs nothing.
    """
    dropped = 10 - KEPT_BITS
    bits = maps.astype(np.float16).view(np.uint16)
    half, odd = (1 << dropped - 1) - 1, bits >> dropped & 1
    rounded = (bits + half + odd) & np.uint16(0xFFFF << dropped & 0xFFFF)
    grown = (rounded & 0x7FFF) >= 0x7C00  # rounded up to infinity
    return {"": np.where(grown, bits & (0xFFFF << dropped & 0xFFFF), rounded).astype(np.uint16).view(np.float16)}


def int8(maps: Maps) -> Parts:
    """Evenly spaced levels between the least and the largest value of each channel of each clip.

    The largest error is half a step, (largest - least) / 510, and what float16 adds when it is read.
    levels (N, 2, channel) float32: the least value and the step.
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
    return CODES[compress](maps) if maps.ndim == 5 else {"": maps}  # whoever keeps it says what it should be


def decode(parts: Parts, compress: str) -> Maps:
    return from_int8(parts) if compress == "int8" else parts[""]


def check_code(compress: str) -> None:
    if compress not in CODES:
        raise LookupError(f"there is no way {compress!r} to compress. Choose one of {', '.join(CODES)}.")
