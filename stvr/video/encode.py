"""Encode pictures as video and image files: H.264, JPEG, PNG."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.codec.context import Flags
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Interpolation
from numpy.typing import NDArray

from stvr.files import whole
from stvr.video.decode import VideoInfo
from stvr.video.pictures import Picture

ENCODER = {"crf": "20", "preset": "veryfast"}
SAME_BYTES = {"crf": "18", "preset": "veryfast", "threads": "1",
        "x264-params": "cpu-independent=1"}  # without it x264's rate control differs from run to run


@contextmanager
def like(info: VideoInfo, out: Path) -> Iterator[Writer]:
    """Writes `out` (mp4) with the frame times of the video `info`; the file appears whole or not at all."""
    with whole(out) as partial, av.open(str(partial), "w", format="mp4", options={"movflags": "+faststart"}) as target:
        writer = Writer(target, info)
        yield writer
        writer.close()


class Writer:
    """An H.264 stream whose frames keep the times of the source."""

    def __init__(self, target: OutputContainer, info: VideoInfo) -> None:
        self.target, self.time_base, self.last = target, info.time_base, -1
        interval = Fraction(int(info.ticks[-1]) + info.tail, len(info.ticks)) * info.time_base
        rate = (1 / interval).limit_denominator(1001) if interval > 0 else Fraction(24)
        self.stream = target.add_stream("libx264", rate=rate, options=ENCODER)
        self.stream.pix_fmt = "yuv420p"

    def add(self, picture: Picture, tick: int) -> None:
        """Adds `picture` at `tick`; it is left out when `tick` is not later than the last one."""
        if tick <= self.last:
            return
        picture = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]  # 4:2:0 needs even sides
        if self.last < 0:
            self.stream.height, self.stream.width = picture.shape[:2]
            self.stream.codec_context.time_base = self.time_base
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame.pts, frame.time_base, self.last = tick, self.time_base, tick
        self.target.mux(self.stream.encode(frame))

    def close(self) -> None:
        self.target.mux(self.stream.encode(None))


def jpeg(picture: Picture, max_height: int) -> bytes:
    """The picture, RGB uint8 (H, W, 3), as a JPEG file at most `max_height` pixels high."""
    height = min(picture.shape[0], max_height)
    width = max(round(picture.shape[1] * height / picture.shape[0]), 1)
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    encoder = av.VideoCodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = width, height, "yuvj444p", Fraction(1, 25)
    encoder.qmin = encoder.qmax = 3  # of 2 (best) to 31
    small = frame.reformat(width, height, "yuvj444p", interpolation=Interpolation.AREA, dst_color_range=ColorRange.JPEG)
    return b"".join(bytes(packet) for packet in [*encoder.encode(small), *encoder.encode(None)])


def png(picture: Picture) -> bytes:
    """The picture as a PNG file."""
    encoder = av.VideoCodecContext.create("png", "w")
    encoder.height, encoder.width = picture.shape[:2]
    encoder.pix_fmt, encoder.framerate = "rgb24", Fraction(1)
    packets = [*encoder.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")), *encoder.encode(None)]
    return b"".join(map(bytes, packets))


def write_video(path: Path, parts: Iterable[NDArray[np.uint8]], fps: int, image_size: int) -> None:
    """Encodes RGB frames, given in parts (T, S, S, 3), as H.264 in an mp4, which appears whole or not at all.

    The bytes are always the same: one thread, no date.
    """
    with whole(path) as partial, av.open(str(partial), "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=fps, options=SAME_BYTES)
        stream.height = stream.width = image_size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = fps
        stream.codec_context.flags |= Flags.bitexact
        for index, picture in enumerate(picture for part in parts for picture in part):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def encoder_versions() -> dict[str, str]:
    """What the bytes of an encoded video depend on."""
    return {"av": av.__version__, "libavcodec": ".".join(map(str, av.library_versions["libavcodec"]))}
