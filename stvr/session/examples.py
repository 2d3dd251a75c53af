"""What a user says of a query, a time and a box, as clips and shares of the picture."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from stvr.structures import ClipSpec, Span

QUERY_SECONDS = 1.0  # of a query when no span is given: a second around the asked time

Box = Sequence[float]  # x1, y1, x2, y2 in pixels of the video as displayed, or all in [0, 1] as shares of it
Track = Sequence[tuple[float, Box]]  # a box that moves: where it is at some seconds, at least one, in order


class Example(NamedTuple):
    """A video, a box in it and when; see `Session.query`."""

    video: Path | str
    box: Box | Track
    at: float
    span: tuple[float, float] | None = None


class Facts(NamedTuple):
    """What a file or a store says of a video; width and height in pixels as displayed.

    offset_seconds: of the first picture, on the container's clock, in which all seconds are given. doubt: what is not
    as the file promises, or "".
    """

    path: Path
    video: str
    width: int
    height: int
    duration_seconds: float
    num_clips: int
    offset_seconds: float = 0.0
    doubt: str = ""


def query_span(spec: ClipSpec, facts: Facts, at: float, span: tuple[float, float] | None) -> Span:
    """The clips of the query; the time asked for must lie in the video, and in the span when there is one."""
    path, first, last = facts.path, facts.offset_seconds, facts.offset_seconds + facts.duration_seconds
    lasts = f"lasts {last:.2f} s" if first == 0 else f"shows pictures from {first:.2f} to {last:.2f} s"
    start, stop = span or (max(first, at - QUERY_SECONDS / 2), at + QUERY_SECONDS / 2)
    if not first <= at <= last:
        raise ValueError(f"--at {at:g} lies outside {path}, which {lasts}.")
    if not (0 <= start < stop and start < last and stop > first and start <= at <= stop):
        raise ValueError(f"a query from {start:g} to {stop:g} s around {at:g} does not lie in {path}, "
                         f"which {lasts}. Give --span START,STOP that holds --at.")
    clips = spec.span(facts.video, max(start - first, 0.0), min(stop, last) - first)
    begin = min(clips.start, facts.num_clips - 1)  # the last clip may be a broken one
    return Span(clips.video, begin, min(max(clips.stop, begin + 1), facts.num_clips))


def query_boxes(box: Box | Track, facts: Facts, clips: Span, spec: ClipSpec) -> Tensor:
    """(T, 4) xyxy in [0, 1] of the query's clips: a still box, or a track, which moves on straight lines.

    Before its first and after its last second a track stands still. ValueError for seconds that are not in order.
    """
    if not len(box) or not isinstance(box[0], (tuple, list)):
        return query_box(cast(Box, box), facts).expand(len(clips), 4)
    track = cast(Track, box)
    seconds = [at for at, _ in track]
    if any(later <= earlier for earlier, later in pairwise(seconds)):
        raise ValueError(f"the seconds of a box that moves go on from one to the next, not "
                         f"{', '.join(f'{at:g}' for at in seconds)}.")
    columns = torch.stack([query_box(each, facts) for _, each in track], 1).numpy()
    middles = [facts.offset_seconds + spec.middle_of(clip) for clip in range(clips.start, clips.stop)]
    return torch.from_numpy(np.stack([np.interp(middles, seconds, column) for column in columns], 1)).float()


def query_box(box: Box, facts: Facts) -> Tensor:
    """(4,) xyxy in [0, 1]. Shares when all four are at most 1, else pixels of the picture as displayed."""
    edges = torch.tensor([float(edge) for edge in box], dtype=torch.float64)
    if len(edges) != 4 or not edges.isfinite().all():
        raise ValueError(f"a box is four numbers X1,Y1,X2,Y2, not {list(box)}.")
    if (edges > 1).any():
        edges = edges / edges.new_tensor([facts.width, facts.height, facts.width, facts.height])
    inside = edges.clamp(0, 1)
    if not (inside[0] < inside[2] and inside[1] < inside[3]):
        raise ValueError(f"the box {','.join(f'{edge:g}' for edge in box)} has no area inside the picture of "
                         f"{facts.width} x {facts.height}. Give X1,Y1,X2,Y2 with X1 < X2 and Y1 < Y2.")
    return inside.float()
