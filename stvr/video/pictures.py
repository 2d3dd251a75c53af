"""Frames at their own size and time, upright: what a person looks at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from stvr.video.decode import VideoError, VideoInfo, probe, stamped
from stvr.video.packets import frames as all_frames
from stvr.video.packets import ignore, opened

Picture = NDArray[np.uint8]  # RGB, (H, W, 3)


def frame_at(video: Path, seconds: float) -> Picture:
    """The frame on screen at `seconds` of the container's clock, RGB uint8 (H, W, 3), as displayed."""
    info = probe(video)
    wanted = seconds - float(info.offset)
    shown = _on_screen(info, wanted, wanted)
    if shown is None:  # a transport stream may seek to where no key frame is: then from its start
        shown = _on_screen(info, wanted, 0.0)
    if shown is None:
        raise VideoError(f"{video}: wanted the frame at {seconds:g} s, but none can be decoded there.")
    return upright(shown, info)


def _on_screen(info: VideoInfo, seconds: float, begin: float) -> VideoFrame | None:
    """The last frame that begins by `seconds` after the first, of those from `begin` on; None where there is none.

    Before the first frame of all, that one.
    """
    shown: VideoFrame | None = None
    for tick, frame in frames(info, begin):
        late = tick * info.time_base > seconds + 1e-6
        if late and (shown is not None or tick > 0):
            break
        shown = frame
    return shown


def frames(info: VideoInfo, from_seconds: float = 0.0) -> Iterator[tuple[int, VideoFrame]]:
    """(tick after the first frame, frame) in the order shown; begins at a key frame at or before `from_seconds`.

    from_seconds: after the first frame. A packet that cannot be decoded is skipped.
    """
    with opened(info.path) as (container, stream):
        stream.thread_type = "AUTO"
        if from_seconds > 0 and not info.counted:
            with suppress(av.FFmpegError):  # a file that cannot seek is read from its start
                container.seek(int(from_seconds / info.time_base) + info.start, stream=stream)
        yield from stamped(all_frames(container, stream, ignore, lambda: None), info)


def upright(frame: VideoFrame, info: VideoInfo) -> Picture:
    """The frame as displayed, RGB uint8 (H, W, 3): turned as its metadata says, with square pixels."""
    width, height = info.display.square
    picture = np.asarray(frame.to_ndarray(format="rgb24", width=width, height=height), np.uint8)
    return info.display.upright(picture).copy()
