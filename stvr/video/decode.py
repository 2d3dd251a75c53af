"""Decode a video file into clips of frames."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path

import av
import numpy as np
import torch
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from numpy.typing import NDArray

from stvr.structures import ClipSpec
from stvr.video.clips import on_screen
from stvr.video.display import Display
from stvr.video.info import VideoInfo, probe
from stvr.video.packets import OnError, VideoError, frames, opened, stamp_of
from stvr.video.resize import resize_tf1

__all__ = ["OnError", "VideoError", "VideoInfo", "decode_clips", "probe", "stamped"]

# The last three flags give the same picture on every processor, with colour at full resolution.
RESIZE = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.BITEXACT | Interpolation.FULL_CHR_H_INT


def decode_clips(
    path: Path | str,
    spec: ClipSpec,
    start_clip: int = 0,
    info: VideoInfo | None = None,
    on_error: OnError = lambda error: None,
    resize: str = "bilinear",
    alive: Callable[[], None] = lambda: None,
) -> Iterator[tuple[int, NDArray[np.uint8], NDArray[np.int64]]]:
    """The whole clips of a video in order: index, frames (F, S, S, 3) uint8 RGB, their ticks (F,).

    Always decodes from the start, because seeking can miss frames. Holds one clip at a time, however long the video.
    Frames that are not shown are never converted, and repeated ones only once. A packet that cannot be decoded is
    reported to `on_error` and the frames beside it take its place; a stream that ends early gives fewer clips.
    VideoError when not one clip can be decoded. resize: a name in `RESIZES`. alive: as in `probe`.
    """
    info = info or probe(path)
    num_frames = info.count_clips(spec) * spec.frames_per_clip
    with opened(Path(path)) as (container, stream):
        stream.thread_type = "AUTO"
        shown = stamped(frames(container, stream, on_error, alive), info)
        timed = on_screen(shown, info.tail, info.time_base, spec.fps)
        number = yield from cut_into_clips(timed, info.display, spec, start_clip, num_frames, resize)
    if number < spec.frames_per_clip:
        raise VideoError(f"{path}: only {number} frames at {spec.fps} frames a second could be decoded, fewer than "
                         f"the {spec.frames_per_clip} of one clip.")


def cut_into_clips(
    timed: Iterable[tuple[int, av.VideoFrame, int]], display: Display, spec: ClipSpec, start_clip: int = 0,
    num_frames: int | None = None, resize: str = "bilinear",
) -> Generator[tuple[int, NDArray[np.uint8], NDArray[np.int64]], None, int]:  # fmt: skip
    """Whole clips from `start_clip` on, as `decode_clips` gives them, of frames that stand so often in the video.

    timed: as `on_screen` gives them. num_frames: that there are, None as many as come. Returns how many came.
    """
    number, index = 0, start_clip
    pictures: list[NDArray[np.uint8]] = []
    ticks: list[int] = []
    make_picture, scaler = RESIZES[resize], VideoReformatter()
    for tick, frame, count in timed:
        number = number + count if num_frames is None else min(number + count, num_frames)
        wanted = number - (index * spec.frames_per_clip + len(ticks))
        if wanted > 0:
            picture = make_picture(frame, display, spec.image_size, scaler)
        for _ in range(wanted):
            pictures.append(picture)
            ticks.append(tick)
            if len(ticks) == spec.frames_per_clip:
                yield index, np.stack(pictures), np.array(ticks, np.int64)
                pictures, ticks, index = [], [], index + 1
        if number == num_frames:
            break
    return number


def _bilinear(frame: av.VideoFrame, display: Display, size: int, scaler: VideoReformatter) -> NDArray[np.uint8]:
    """(S, S, 3) uint8 RGB, upright. The picture is square, so turning it needs no second resize."""
    return display.upright(_rgb(frame, size, size, scaler))


def _tf1(frame: av.VideoFrame, display: Display, size: int, scaler: VideoReformatter) -> NDArray[np.uint8]:
    """(S, S, 3) uint8 RGB, upright, resized as the authors' loader does it and rounded to whole levels."""
    upright = display.upright(_rgb(frame, frame.width, frame.height, scaler))
    return resize_tf1(torch.from_numpy(upright.copy()), (size, size)).round().byte().numpy()


RESIZES = {"bilinear": _bilinear, "tf1": _tf1}


def _rgb(frame: av.VideoFrame, width: int, height: int, scaler: VideoReformatter) -> NDArray[np.uint8]:
    picture = scaler.reformat(
        frame, width, height, "rgb24", interpolation=RESIZE, dst_color_range=ColorRange.JPEG, threads=1
    )  # fmt: skip
    return np.asarray(picture.to_ndarray(), np.uint8)


def stamped(frames: Iterator[av.VideoFrame], info: VideoInfo) -> Iterator[tuple[int, av.VideoFrame]]:
    """Each frame with the tick it is shown at; frames without a timestamp are skipped."""
    for number, frame in enumerate(frames):
        stamp = stamp_of(frame)
        if info.counted:
            yield int(info.ticks[min(number, len(info.ticks) - 1)]), frame
        elif stamp is not None:
            yield stamp - info.start, frame
