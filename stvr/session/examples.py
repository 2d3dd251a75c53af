"""What a user says of a query, a time and a box, as clips and shares of the picture."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from stvr.structures import ClipSpec, Span

LOG = logging.getLogger("stvr")
QUERY_SECONDS = 1.0  # of a query when no span is given: a second around the asked time

HAIR = 0.01  # of the picture: shares may lie outside by so little, as those of trackers do
SMALLEST = 2.0  # pixels of a box's sides: what is smaller was meant as shares

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
    if not is_number(at):
        raise ValueError(f"the time of a query is a number of seconds, not {at!r}.")
    path, first, last = facts.path, facts.offset_seconds, facts.offset_seconds + facts.duration_seconds
    lasts = f"lasts {last:.2f} s" if first == 0 else f"shows pictures from {first:.2f} to {last:.2f} s"
    start, stop = span or (max(first, at - QUERY_SECONDS / 2), at + QUERY_SECONDS / 2)
    if not first <= at <= last:
        raise ValueError(f"--at {at:g} lies outside {path}, which {lasts}.")
    if not (0 <= start < stop and start < last and stop > first and start <= at <= stop):
        raise ValueError(f"a query from {start:g} to {stop:g} s around {at:g} does not lie in {path}, "
                         f"which {lasts}. Give --span START,STOP that holds --at.")
    if span and (start < first or stop > last):
        LOG.warning("the span from %g to %g s is cut to %s, which %s.", start, stop, path, lasts)
    clips = spec.span(facts.video, max(start - first, 0.0), min(stop, last) - first)
    begin = min(clips.start, facts.num_clips - 1)  # the last clip may be a broken one
    return Span(clips.video, begin, min(max(clips.stop, begin + 1), facts.num_clips))


def query_boxes(box: Box | Track, facts: Facts, clips: Span, spec: ClipSpec) -> Tensor:
    """(T, 4) xyxy in [0, 1] of the query's clips: a still box, or a track, which moves on straight lines.

    Before its first and after its last second a track stands still, which a warning says. ValueError, one line, for
    what is neither, and for a track whose seconds are not in order or all outside of the video.
    """
    places: list[Any] = list(box) if isinstance(box, Iterable) else [box]
    if not places or is_number(places[0]):
        return shares_of([places], facts).expand(len(clips), 4)
    seconds, boxes = parted(places)
    first, last = facts.offset_seconds, facts.offset_seconds + facts.duration_seconds
    if seconds[0] > last or seconds[-1] < first:
        raise ValueError(f"the box moves from {seconds[0]:g} to {seconds[-1]:g} s, but {facts.path} shows pictures "
                         f"from {first:.2f} to {last:.2f} s. Give its places with their seconds in the video.")
    middles = [first + spec.middle_of(clip) for clip in range(clips.start, clips.stop)]
    if outside := [at for at in seconds if not first <= at <= last]:
        LOG.warning("%d of %d places of the box lie outside of %s, which shows pictures from %.2f to %.2f s: at %s s.",
                    len(outside), len(seconds), facts.path, first, last, ", ".join(f"{at:g}" for at in outside[:3]))
    if middles[-1] < seconds[0] or middles[0] > seconds[-1]:
        LOG.warning("the query, at %.2f to %.2f s, lies beside the seconds of its box, %g to %g: it stands still.",
                    middles[0], middles[-1], seconds[0], seconds[-1])
    columns = shares_of(boxes, facts).T.numpy()
    return torch.from_numpy(np.stack([np.interp(middles, seconds, column) for column in columns], 1)).float()


def is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError, RuntimeError):  # the last of a tensor
        return False
    return True


def parted(track: Sequence[Any]) -> tuple[list[float], list[list[Any]]]:
    """The seconds and the boxes of a track. ValueError for what is none."""
    try:
        seconds, boxes = [float(at) for at, _ in track], [list(box) for _, box in track]
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"a query's box is four numbers X1,Y1,X2,Y2, or of one that moves pairs of seconds and such a "
                         f"box, not {track}.") from None
    if not np.isfinite(seconds).all() or any(later <= earlier for earlier, later in pairwise(seconds)):
        raise ValueError(f"the seconds of a box that moves go on from one to the next, not "
                         f"{', '.join(f'{at:g}' for at in seconds)}.")
    return seconds, boxes


def shares_of(boxes: Sequence[Any], facts: Facts) -> Tensor:
    """Boxes (N, 4) of one actor as shares of the picture, cut off at its edges. ValueError for what is none.

    All are shares where no edge is above 1 by more than a HAIR, else all are pixels of the picture as displayed.
    """
    edges = torch.stack([four_numbers(box) for box in boxes])
    highest = edges.amax(1)
    if highest.max() > 1 + HAIR:
        if highest.min() <= 1 + HAIR:
            raise ValueError("some places of a box that moves are in pixels, others in shares of the picture. Give all "
                             "in one way.")
        for box, side in zip(boxes, (edges[:, 2:] - edges[:, :2]).amin(1).tolist(), strict=True):
            if 0 < side < SMALLEST:
                raise ValueError(f"the box {listed(box)} is less than {SMALLEST:g} pixels wide or high. If it is meant "
                                 "as shares of the picture, none of its edges may be above 1.")
        edges = edges / edges.new_tensor([facts.width, facts.height] * 2)
    inside = edges.clamp(0, 1)
    for box, place in zip(boxes, inside, strict=True):
        if not (place[0] < place[2] and place[1] < place[3]):
            raise ValueError(f"the box {listed(box)} has no area inside the picture "
                             f"of {facts.width} x {facts.height}. Give X1,Y1,X2,Y2 with X1 < X2 and Y1 < Y2.")
    return inside.float()


def listed(box: Sequence[Any]) -> str:
    return ",".join(f"{float(edge):g}" for edge in box)


def four_numbers(box: Sequence[Any]) -> Tensor:
    try:
        edges = torch.tensor([float(edge) for edge in box], dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"a box is four numbers X1,Y1,X2,Y2, not {list(box)}.") from None
    if len(edges) != 4 or not edges.isfinite().all():
        raise ValueError(f"a box is four numbers X1,Y1,X2,Y2, not {list(box)}.")
    return edges
