"""What stands in a scene of the synthetic world: bodies of capsules, and boards that hide them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stvr.world.painting import Floats, Frames, Masks, Soft, mark_capsule, paint_capsule

DARK, INSIDE = 0.25, 0.72  # an outlined limb: how bright its edge is, and which share of the radius lies inside it
Moments = NDArray[np.int64] | slice  # frames of the video


class Thing(Protocol):
    """Paints itself over frames (n, S, S, 3), and marks in masks (n, S, S) what it covers, at n moments."""

    def paint(self, frames: Frames, moments: Moments) -> None: ...
    def mark(self, masks: Masks, moments: Moments) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """Capsules (T, P, 2, 2) xy in pixels, painted one over the other: radii (P,), colours and accents (P, 3)."""

    capsules: Floats
    radii: Floats
    colours: Floats
    accents: Floats
    style: str = "plain"

    def paint(self, frames: Frames, moments: Moments) -> None:
        capsules = self.capsules[moments]
        for part, (radius, colour, accent) in enumerate(zip(self.radii, self.colours, self.accents, strict=True)):
            if self.style == "outlined":
                paint_capsule(frames, capsules[:, part], radius, DARK * colour)
                radius = INSIDE * radius
            paint_capsule(frames, capsules[:, part], radius, colour, accent if self.style == "striped" else None)

    def mark(self, masks: Masks, moments: Moments) -> None:
        capsules = self.capsules[moments]
        for part, radius in enumerate(self.radii):
            mark_capsule(masks, capsules[:, part], radius)

    def outline(self) -> tuple[Floats, Floats]:
        """Lowest and highest x and y of all capsules, (T, 2) each."""
        reach = self.radii[:, None, None]
        return (self.capsules - reach).min((1, 2)), (self.capsules + reach).max((1, 2))


@dataclass(frozen=True, slots=True, eq=False)
class Board:
    """A textured board (height, width, 3) whose left edge is at `left` (T,) and whose top is at `top`, whole pixels."""

    texture: Soft
    left: NDArray[np.int64]
    top: int

    def paint(self, frames: Frames, moments: Moments) -> None:
        for frame, left in zip(frames, self.left[moments].tolist(), strict=True):
            begin, end = self._seen(left, frames.shape[1])
            under = frame[self.top : self.top + len(self.texture), begin:end]
            under[:] = self.texture[: len(under), begin - left : end - left]

    def mark(self, masks: Masks, moments: Moments) -> None:
        for mask, left in zip(masks, self.left[moments].tolist(), strict=True):
            begin, end = self._seen(left, masks.shape[1])
            mask[self.top : self.top + len(self.texture), begin:end] = True

    def _seen(self, left: int, size: int) -> tuple[int, int]:
        begin = min(max(left, 0), size)
        return begin, max(min(left + self.texture.shape[1], size), begin)
