"""Tubelets laid out clip by clip: which boxes stand there, and whose they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stvr.structures import Tubelet


@dataclass(frozen=True, slots=True, eq=False)
class ClipBoxes:
    """The boxes (G, 4) of one clip; owners: which of the tubelets each belongs to."""

    boxes: Tensor
    owners: Sequence[int]


def boxes_by_clip(tubelets: Sequence[Tubelet], start: int, num_clips: int) -> list[ClipBoxes]:
    """The boxes of clips start, start + 1, ..., in the order of the tubelets, which are all of one video."""
    rows: list[list[tuple[Tensor, int]]] = [[] for _ in range(num_clips)]
    for owner, tubelet in enumerate(tubelets):
        for clip, box in enumerate(tubelet.boxes, start=tubelet.span.start - start):
            if 0 <= clip < num_clips:
                rows[clip].append((box, owner))
    return [
        ClipBoxes(torch.stack([box for box, _ in row]) if row else torch.empty(0, 4), [owner for _, owner in row])
        for row in rows
    ]
