"""Frames at their own size and time, upright: what a person looks at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from stvr.video.decode import VideoError, VideoInfo, probe

Picture = NDArray[np.uint8]  # RGB, (H, W, 3)


def frame_at(video: Path, seconds: float) -> Picture:
    """The frame on screen at `seconds`, RGB uint8 (H, W, 3), upright."""
    info = probe(video)
    shown: VideoFrame | None = None
    try:
        for tick, frame in frames(info, seconds):
            if shown is not None and tick * info.time_base > seconds + 1e-6:
                break
            shown = frame
    except av.FFmpegError as error:
        raise VideoError(str(error)) from error
    if shown is None:
        raise VideoError(f"{video}: wanted the frame at {seconds:g} s, but none can be decoded there.")
    return upright(shown, info)


def frames(info: VideoInfo, from_seconds: float = 0.0) -> Iterator[tuple[int, VideoFrame]]:
    """(tick after the first frame, frame) in the order shown; begins at a key frame at or before `from_seconds`.

    A packet that cannot be decoded is skipped.
    """
    with av.open(str(info.path.absolute()), metadata_errors="replace") as container:
        stream = container.streams.best("video")
        if not isinstance(stream, VideoStream):
            return
        stream.thread_type = "AUTO"
        if from_seconds > 0 and not info.counted:
            with suppress(av.FFmpegError):  # a file that cannot seek is read from its start
                container.seek(int(from_seconds / info.time_base) + info.start, stream=stream)
        number = 0
        for packet in container.demux(stream):
            with suppress(av.error.InvalidDataError):
                for frame in packet.decode():
                    stamp = frame.pts if frame.pts is not None else frame.dts
                    if info.counted:
                        yield int(info.ticks[min(number, len(info.ticks) - 1)]), frame
                    elif stamp is not None:
                        yield stamp - info.start, frame
                    number += 1


def upright(frame: VideoFrame, info: VideoInfo) -> Picture:
    """The frame as RGB uint8 (H, W, 3), rotated as its metadata says."""
    return np.rot90(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8), info.rotation).copy()
