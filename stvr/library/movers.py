"""What moves against the rest of the picture, followed over a few clips: tubes that need no query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from stvr.heads.similarity import on_grid, running_mean, stand_out
from stvr.heads.where import Where
from stvr.structures import LABEL_SAME, Detections, Span
from stvr.tubelets import link

SMOOTHING = 3  # clips whose maps of change are averaged
MOST = 3  # boxes of a clip that are followed, and tubes of a window


def find_movers(where: Where, standard: Mapping[str, Tensor], clips: slice) -> list[Detections]:
    """Standardised maps (T, H, W, C) by endpoint -> the boxes of these clips that change most against their picture."""
    rows, columns = max((maps.shape[1:3] for maps in standard.values()), key=lambda grid: grid[0] * grid[1])
    maps = [stand_out(on_grid(change(standard[name]), rows, columns)) for name in where.endpoints]
    likeness = running_mean(torch.stack(maps).mean(0), SMOOTHING)[clips]
    found = []
    for boxes, worth in where.propose(likeness):
        scores = (worth / worth[:1])[:MOST]
        found.append(Detections(boxes[:MOST], scores, torch.full((len(scores),), LABEL_SAME)))
    return found


def change(maps: Tensor) -> Tensor:
    """Maps (T, H, W, C) -> how much each cell differs from the same cell one clip before, (T, H, W)."""
    if len(maps) == 1:
        return torch.zeros(maps.shape[:3])
    steps = (maps[1:] - maps[:-1]).norm(dim=-1)
    return torch.cat([steps[:1], steps])


def follow_movers(movers: Sequence[Detections]) -> list[tuple[Span, Tensor]]:
    """The movers of the clips of one window, linked: spans counted from its first clip, and boxes (T, 4) over them."""
    tubes = link(movers, "", 0, min_clips=1, cut=0.0, max_tubelets=MOST) if movers else []
    return [(tube.span, tube.boxes) for tube in tubes]
