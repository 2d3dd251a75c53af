"""Boxes counted in frames become rows in seconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from stvr.annotations.reader import ReaderOptions
from stvr.annotations.rows import EDGES, LeftOut, Rows, with_shared_videos
from stvr.video.frame_times import FrameTimes
from stvr.video_names import ByVideo

if TYPE_CHECKING:
    import pandas as pd

NO_FILE = "no video file has their name"
Rate = float | FrameTimes  # frames a second, or when each frame is on screen
FrameRates = Mapping[str, Rate] | Rate  # by video name, or of all videos


class FrameOptions(ReaderOptions):
    """Options of a reader whose files count frames. frame_rates: of the videos to keep; fps: of all, without them."""

    frame_rates: Any = None  # FrameRates
    fps: float | None = None

    def rates(self) -> FrameRates:
        """By video under any spelling of its name, or of all videos. ValueError where neither is known."""
        rates = self.fps if self.frame_rates is None else self.frame_rates
        if rates is None:
            raise ValueError("these annotations count frames but do not say how many there are in a second. "
                             "Give --videos, or --fps.")
        return ByVideo(rates) if isinstance(rates, Mapping) else rates


def frame_rows(video: str, person: str, label: int, frames: ArrayLike, boxes: ArrayLike, rate: Rate,
               size: tuple[float, float] = (1, 1)) -> pd.DataFrame:
    """One row a frame: frames (T,) counted from 0, boxes (T, 4) xyxy in units of `size`; `line` is the frame."""
    import pandas as pd

    frames = np.asarray(frames, np.int64)
    shares = np.asarray(boxes, np.float64).reshape(-1, 4) / (*size, *size)
    rows = pd.DataFrame(shares, columns=EDGES)
    rows["video"], rows["person"], rows["label"], rows["line"] = video, person, label, frames
    rows["start"], rows["stop"] = seconds_at(frames, rate), seconds_at(frames + 1, rate)
    return rows


def before_end(parts: Sequence[pd.DataFrame], num_frames: int, where: str) -> tuple[list[pd.DataFrame], list[LeftOut]]:
    """The rows of frames that their video has, and what is left out. num_frames: as the file says; 0: it does not."""
    if not num_frames:
        return list(parts), []
    kept = [rows[rows["line"] < num_frames] for rows in parts]
    count = sum(map(len, parts)) - sum(map(len, kept))
    late = [LeftOut(count, "boxes", f"they lie after the last of the video's {num_frames} frames", where)]
    return [rows for rows in kept if len(rows)], late if count else []


def seconds_at(frames: ArrayLike, rate: Rate) -> Any:
    """When frames begin, counted from 0: by the video's own time stamps, or at a constant rate."""
    if isinstance(rate, (int, float)):
        return np.asarray(frames, np.float64) / rate
    return rate.seconds(frames)


def seconds_of(videos: pd.Series, frames: pd.Series, rates: Mapping[str, Rate]) -> pd.Series:
    """The same for rows of many videos; NaN where a video has no rate."""
    import pandas as pd

    seconds = pd.Series(np.nan, index=frames.index)
    for video, rate in rates.items():
        seconds[videos == video] = seconds_at(frames[videos == video], rate)
    return seconds


def rate_of(video: str, frame_rates: FrameRates) -> Rate | None:
    """Of a video; None where it is not among the videos to keep. ValueError for an impossible rate."""
    if isinstance(frame_rates, Mapping):
        rate = (frame_rates if isinstance(frame_rates, ByVideo) else ByVideo(frame_rates)).get(video)
    else:
        rate = frame_rates
    if isinstance(rate, (int, float)) and not 0 < rate < 10_000:
        raise ValueError(f"the frame rate of {video!r} is {rate}, wanted more than 0 frames a second.")
    return rate


def kept_rates(videos: Iterable[str], frame_rates: FrameRates, source: str) -> tuple[dict[str, Rate], list[LeftOut]]:
    """The rate of each video that is to be kept, and what is left out.

    Raises LookupError where none is to be kept.
    """
    every = list(dict.fromkeys(videos))
    known = ByVideo(frame_rates) if isinstance(frame_rates, Mapping) else frame_rates
    rates = {video: rate for video in every if (rate := rate_of(video, known)) is not None}
    if not rates:
        raise no_video_kept(source, len(every), frame_rates)
    gone = [video for video in every if video not in rates]
    return rates, [LeftOut(len(gone), "videos", NO_FILE, source, gone)] if gone else []


def named_as_given(rows: Rows, frame_rates: FrameRates) -> Rows:
    """The rows with the names that frame_rates gives the videos; without any, with the file's own."""
    return with_shared_videos([rows], frame_rates)[0] if isinstance(frame_rates, Mapping) else rows


def no_video_kept(source: str, count: int, frame_rates: FrameRates) -> LookupError:
    """The error of a source that annotates `count` videos, but none of those in frame_rates."""
    if not isinstance(frame_rates, Mapping) or not count:
        return LookupError(f"{source} annotates no video.")
    return LookupError(f"{source} annotates {count} videos, none among the {len(frame_rates)} given. The video files "
                       "must have the names that the annotations use.")
