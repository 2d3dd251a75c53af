"""Boxes counted in frames become rows in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from stvr.annotations.reader import ReaderOptions
from stvr.annotations.rows import EDGES

if TYPE_CHECKING:
    import pandas as pd

FrameRates = Mapping[str, float] | float  # frames a second: by video name, or one rate for all videos


class FrameOptions(ReaderOptions):
    """Options of a reader whose files count frames. frame_rates: of the videos to keep; fps: of all, without them."""

    frame_rates: FrameRates | None = None
    fps: float | None = None

    def rates(self) -> FrameRates:
        """ValueError where neither is known."""
        rates = self.fps if self.frame_rates is None else self.frame_rates
        if rates is None:
            raise ValueError("these annotations count frames but do not say how many there are in a second. "
                             "Give --videos, or --fps.")
        return rates


def frame_rows(video: str, person: str, label: int, frames: ArrayLike, boxes: ArrayLike, rate: float,
               size: tuple[float, float] = (1, 1)) -> pd.DataFrame:
    """One row a frame: frames (T,) counted from 0, boxes (T, 4) xyxy in units of `size`; `line` is the frame."""
    import pandas as pd

    frames = np.asarray(frames, np.int64)
    shares = np.asarray(boxes, np.float64).reshape(-1, 4) / (*size, *size)
    rows = pd.DataFrame(shares, columns=EDGES)
    rows["video"], rows["person"], rows["label"], rows["line"] = video, person, label, frames
    rows["start"], rows["stop"] = frames / rate, (frames + 1) / rate
    return rows


def rate_of(video: str, frame_rates: FrameRates) -> float | None:
    """Frames a second of a video; None where it is not among the videos to keep. ValueError for an impossible rate."""
    rate = frame_rates.get(video) if isinstance(frame_rates, Mapping) else frame_rates
    if rate is not None and not 0 < rate < 10_000:
        raise ValueError(f"the frame rate of {video!r} is {rate}, wanted more than 0 frames a second.")
    return rate


def no_video_kept(source: str, count: int, frame_rates: FrameRates) -> LookupError:
    """The error of a source that annotates `count` videos, but none of those in frame_rates."""
    if not isinstance(frame_rates, Mapping):
        return LookupError(f"{source} annotates no video.")
    return LookupError(f"{source} annotates {count} videos, none among the {len(frame_rates)} given. The video files "
                       "must have the names that the annotations use.")


def video_name(text: object) -> str:
    """"sport/v_1_c001.mp4" as "v_1_c001": a video has the name of its file."""
    name = PurePosixPath(str(text).replace("\\", "/")).name
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and stem and suffix.isalnum() and len(suffix) <= 4 and not suffix.isdecimal() else name
