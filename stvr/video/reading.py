"""Read the clips of a file as the spec of a store says, in the form a backbone is fed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stvr.structures import FeatureSpec
from stvr.video.decode import OnError, VideoInfo, decode_clips, probe

COLOUR_ORDERS = ("RGB", "BGR")  # BGR: what the authors' program feeds a network that was trained on RGB


class Clip(NamedTuple):
    """frames (F, S, S, 3) uint8 RGB, their ticks (F,), and the last frame of the clip before; None for the first.

    flow (H, W, 2) float16, (y, x) in cells: once it has been computed.
    """

    number: int
    frames: NDArray[np.uint8]
    ticks: NDArray[np.int64]
    before: NDArray[np.uint8] | None
    flow: NDArray[np.float16] | None = None


def read_clips(
    path: Path, spec: FeatureSpec, start: int = 0, info: VideoInfo | None = None,
    on_error: OnError = lambda error: None, alive: Callable[[], None] = lambda: None,
) -> Iterator[Clip]:  # fmt: skip
    """Like `decode_clips`. With flow, the clip before `start` is decoded too, because flow needs its last frame."""
    first = max(start - 1, 0) if spec.flow != "none" else start
    before: NDArray[np.uint8] | None = None
    for index, frames, ticks in decode_clips(path, spec.clip, first, info, on_error, spec.resize, alive):
        if index >= start:
            yield Clip(index, frames, ticks, before)
        before = frames[-1]


def frame_seconds(path: Path) -> NDArray[np.float64]:
    """When each frame of a video is shown, (N,) seconds of the container's clock: what formats that count frames need.

    In the order shown, as other tools count them. VideoError for a file that is not a video.
    """
    info = probe(path)
    return np.asarray(info.ticks * float(info.time_base) + float(info.offset), np.float64)


def as_fed(frames: NDArray[np.uint8], spec: FeatureSpec, flipped: bool = False) -> Tensor:
    """Frames (..., S, S, 3) in the spec's colour order, mirrored left to right where `flipped`."""
    axes = [axis for axis, wanted in ((-2, flipped), (-1, spec.colour_order == "BGR")) if wanted]
    return torch.from_numpy(frames).flip(axes) if axes else torch.from_numpy(frames)
