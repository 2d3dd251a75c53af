"""Decode a video file into clips of frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from av.stream import Disposition
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from numpy.typing import NDArray

from stvr.structures import ClipSpec
from stvr.video.clips import count_instants, on_screen, tail_of
from stvr.video.resize import resize_tf1

OnError = Callable[[Exception], None]

av.logging.set_level(None)  # any other level calls Python from decoder threads, and closing a file can deadlock

# The last three flags give the same picture on every processor, with colour at full resolution.
RESIZE = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.BITEXACT | Interpolation.FULL_CHR_H_INT


class VideoError(ValueError):
    """A file that has no readable clips. The message is one line that names the file and says why."""


@dataclass(frozen=True, slots=True, eq=False)
class VideoInfo:
    """What a video file says about itself.

    ticks (N,) int64: when its frames are shown, sorted, in units of `time_base` seconds after the first.
    tail: ticks the last frame stays. start: the first timestamp. width, height: pixels as displayed, after rotation.
    rotation: quarter turns to the left that set a decoded frame upright. counted: the timestamps in the file do not
    belong to the frames (raw streams, some AVI files), so frames are given `ticks` in the order they are decoded.
    """

    path: Path
    ticks: NDArray[np.int64]
    tail: int
    time_base: Fraction
    start: int
    width: int
    height: int
    rotation: int
    codec: str
    counted: bool

    @property
    def duration(self) -> Fraction:
        """Seconds from the first frame to the end of the last."""
        return (int(self.ticks[-1]) + self.tail) * self.time_base

    def count_clips(self, spec: ClipSpec) -> int:
        """How many whole clips the video has. VideoError when it has none."""
        num_clips = count_instants(int(self.ticks[-1]) + self.tail, self.time_base, spec.fps) // spec.frames_per_clip
        if num_clips == 0:
            raise VideoError(
                f"{self.path} lasts {float(self.duration):.3f} s, less than one clip of "
                f"{spec.frames_per_clip} frames at {spec.fps} frames a second."
            )
        return num_clips


def probe(path: Path | str, alive: Callable[[], None] = lambda: None) -> VideoInfo:
    """Reads all timestamps but decodes only the first frame. VideoError for a file that is not a video.

    alive: called at every packet, so that a decoder that hangs can be told apart from a long file.
    """
    with _opened(Path(path)) as (container, stream):
        packets, frame = [], None
        for packet in _packets(container, stream, _ignore, alive):
            if packet is not None and not packet.is_discard:
                packets.append((packet.pts, packet.dts, packet.duration))
            if frame is None:
                frame = next(iter(_decode(stream, packet, on_error=_ignore)), None)
        if frame is None:
            raise VideoError(f"{path} has a video stream, but not one frame of it can be decoded.")
        stamps, durations, counted = _timestamps(packets, stream)
        ticks, index = np.unique(stamps, return_index=True)
        rotation = round(frame.rotation / 90) % 4
        width, height = (frame.height, frame.width) if rotation % 2 else (frame.width, frame.height)
        tail = tail_of(ticks, durations[index[-1]])
        codec, time_base, start = stream.codec_context.name, stream.time_base, int(ticks[0])
        return VideoInfo(
            Path(path), ticks - start, tail, time_base, start, width, height, rotation, codec, counted
        )  # fmt: skip


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
    num_frames, number, index = info.count_clips(spec) * spec.frames_per_clip, 0, start_clip
    pictures: list[NDArray[np.uint8]] = []
    ticks: list[int] = []
    make_picture = RESIZES[resize]
    with _opened(Path(path)) as (container, stream):
        stream.thread_type = "AUTO"
        scaler = VideoReformatter()
        frames = _stamped(_frames(container, stream, on_error, alive), info)
        for tick, frame, count in on_screen(frames, info.tail, info.time_base, spec.fps):
            number = min(number + count, num_frames)
            wanted = number - (index * spec.frames_per_clip + len(ticks))
            if wanted > 0:
                picture = make_picture(frame, info.rotation, spec.image_size, scaler)
            for _ in range(wanted):
                pictures.append(picture)
                ticks.append(tick)
                if len(ticks) == spec.frames_per_clip:
                    yield index, np.stack(pictures), np.array(ticks, np.int64)
                    pictures, ticks, index = [], [], index + 1
            if number == num_frames:
                break
    if number < spec.frames_per_clip:
        raise VideoError(f"{path}: only {number} frames at {spec.fps} frames a second could be decoded, fewer than "
                         f"the {spec.frames_per_clip} of one clip.")


def _bilinear(frame: av.VideoFrame, rotation: int, size: int, scaler: VideoReformatter) -> NDArray[np.uint8]:
    """(S, S, 3) uint8 RGB, upright. The picture is square, so rotating it needs no second resize."""
    return np.rot90(_rgb(frame, size, size, scaler), rotation)


def _tf1(frame: av.VideoFrame, rotation: int, size: int, scaler: VideoReformatter) -> NDArray[np.uint8]:
    """(S, S, 3) uint8 RGB, upright, resized as the authors' loader does it and rounded to whole levels."""
    upright = np.rot90(_rgb(frame, frame.width, frame.height, scaler), rotation)
    return resize_tf1(torch.from_numpy(upright.copy()), (size, size)).round().byte().numpy()


RESIZES = {"bilinear": _bilinear, "tf1": _tf1}


def _rgb(frame: av.VideoFrame, width: int, height: int, scaler: VideoReformatter) -> NDArray[np.uint8]:
    picture = scaler.reformat(
        frame, width, height, "rgb24", interpolation=RESIZE, dst_color_range=ColorRange.JPEG, threads=1
    )  # fmt: skip
    return np.asarray(picture.to_ndarray(), np.uint8)


def _stamped(frames: Iterator[av.VideoFrame], info: VideoInfo) -> Iterator[tuple[int, av.VideoFrame]]:
    """Each frame with the tick it is shown at; frames without a timestamp are skipped."""
    for number, frame in enumerate(frames):
        stamp = frame.pts if frame.pts is not None else frame.dts
        if info.counted:
            yield int(info.ticks[min(number, len(info.ticks) - 1)]), frame
        elif stamp is not None:
            yield stamp - info.start, frame


def _frames(container: Any, stream: Any, on_error: OnError, alive: Callable[[], None]) -> Iterator[av.VideoFrame]:
    for packet in _packets(container, stream, on_error, alive):
        yield from _decode(stream, packet, on_error)


def _packets(
    container: Any, stream: Any, on_error: OnError, alive: Callable[[], None]
) -> Iterator[av.Packet | None]:
    """All packets that can be read, then None, which makes the decoder give out the frames it still holds."""
    try:
        for packet in container.demux(stream):
            alive()
            if packet.size:
                yield packet
    except av.FFmpegError as error:
        on_error(error)
    yield None


def _decode(stream: Any, packet: av.Packet | None, on_error: OnError) -> list[av.VideoFrame]:
    try:
        return stream.codec_context.decode(packet)
    except av.FFmpegError as error:
        on_error(error)
        return []


def _timestamps(
    packets: list[tuple[int | None, int | None, int | None]], stream: Any
) -> tuple[NDArray[np.int64], list[int | None], bool]:
    """When the frame of each packet is shown, for how long, and whether the frames have to be counted to know it."""
    stamps = [dts if pts is None else pts for pts, dts, _ in packets]
    durations = [duration for *_, duration in packets]
    if all(stamp is None for stamp in stamps):  # a raw stream
        interval = round(1 / (stream.average_rate or 25) / stream.time_base)
        lengths = [duration or interval for duration in durations]
        return np.cumsum([0, *lengths[:-1]], dtype=np.int64), [*lengths], True
    known = [(stamp, duration) for stamp, duration in zip(stamps, durations, strict=True) if stamp is not None]
    ticks = np.array([stamp for stamp, _ in known], np.int64)
    in_file_order = stream.container.format.name == "avi" and stream.codec_context.has_b_frames
    return ticks, [duration for _, duration in known], bool(in_file_order and (np.diff(ticks) > 0).all())


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """The container and its best video stream; any error of the decoder becomes one line."""
    if not path.is_file():
        raise VideoError(f"{path} does not exist." if not path.exists() else f"{path} is a folder, not a video file.")
    try:
        with av.open(
            str(path.absolute()), metadata_errors="replace", options={"protocol_whitelist": "file"}
        ) as container:
            yield container, _best_stream(container, path)
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"{path} cannot be read as a video: {error.strerror}.") from error


def _best_stream(container: Any, path: Path) -> Any:
    """The stream a player would show; a cover picture does not count as one."""
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        kinds = ", ".join(stream.type for stream in container.streams)
        raise VideoError(f"{path} has no video stream{', only ' + kinds if kinds else ''}.")
    best = container.streams.best("video")
    stream = next((stream for stream in streams if stream.index == best.index), streams[0])
    if stream.codec_context is None:
        raise VideoError(f"{path} uses a codec that this decoder does not support. Convert it, to H.264 for example.")
    return stream


def _ignore(error: Exception) -> None:
    """Damage is reported when the clips are decoded; here it is enough to read on."""
