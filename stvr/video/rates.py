"""How fast a video's pictures come, part by part: decoding alone, and making a square picture of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from av.video.reformatter import VideoReformatter

from stvr.video.decode import RESIZES, stamped
from stvr.video.info import VideoInfo
from stvr.video.packets import VideoError, frames, ignore, opened


def decoded_seconds(info: VideoInfo) -> Iterator[float]:
    """Of the video, after each picture that was decoded, over and over; no picture is converted."""
    before = 0.0
    while True:
        with opened(info.path) as (container, stream):
            stream.thread_type = "AUTO"
            for tick, _ in stamped(frames(container, stream, ignore, lambda: None), info):
                yield before + float(tick * info.time_base)
        before += float(info.duration)


def resizing(info: VideoInfo, size: int) -> Callable[[], object]:
    """Makes the first picture square, RGB and upright, each time it is called."""
    with opened(info.path) as (container, stream):
        first = next(frames(container, stream, ignore, lambda: None), None)
    if first is None:
        raise VideoError(f"{info.path} has a video stream, but not one frame of it can be decoded.")
    scaler = VideoReformatter()
    return lambda: RESIZES["bilinear"](first, info.display, size, scaler)
