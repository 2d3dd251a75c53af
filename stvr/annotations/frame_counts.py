"""Boxes counted in frames become rows in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from stvr.annotations.rows import EDGES


def frame_rows(video: str, person: str, label: int, frames: ArrayLike, boxes: ArrayLike, rate: float,
               size: tuple[float, float] = (1, 1)) -> pd.DataFrame:
    """One row a frame: frames (T,) counted from 0, boxes (T, 4) xyxy in units of `size`; `line` is the frame."""
    frames = np.asarray(frames, np.int64)
    shares = np.asarray(boxes, np.float64).reshape(-1, 4) / (*size, *size)
    rows = pd.DataFrame(shares, columns=EDGES)
    rows["video"], rows["person"], rows["label"], rows["line"] = video, person, label, frames
    rows["start"], rows["stop"] = frames / rate, (frames + 1) / rate
    return rows


def rate_of(video: str, frame_rates: Mapping[str, float] | float) -> float | None:
    """Frames a second of a video; None where it is not among those given. ValueError for a rate that is none."""
    rate = frame_rates.get(video) if isinstance(frame_rates, Mapping) else frame_rates
    if rate is not None and not 0 < rate < 10_000:
        raise ValueError(f"the frame rate of {video!r} is {rate}, wanted frames a second above 0.")
    return rate


def video_name(text: object) -> str:
    """"sport/v_1_c001.mp4" as "v_1_c001": the name of a video is that of its file."""
    name = PurePosixPath(str(text).replace("\\", "/")).name
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and stem and suffix.isalnum() and len(suffix) <= 4 and not suffix.isdecimal() else name
