"""Writes a video with its tubelets drawn in: the only writer of video, and the reader of frames at their own size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Interpolation
from av.video.stream import VideoStream
from numpy.typing import ArrayLike, NDArray

from stvr.extract.decode import VideoError, VideoInfo, probe
from stvr.files import whole
from stvr.render.draw import TRUTH, Picture, colour_of, draw_box, with_time_bar
from stvr.structures import ClipSpec, Tubelet

ENCODER = {"crf": "20", "preset": "veryfast"}


def render_tubelets(
    video: Path, tubelets: Sequence[Tubelet], out: Path, clips: ClipSpec, *, titles: Sequence[str] | None = None
) -> Path:
    """Writes `out` (mp4, H.264): every frame of `video` at its own time and size, boxes drawn, a bar of time below.

    Between the centres of two clips a box moves on a straight line. `titles`: one a tubelet; else rank and score.
    Times count from the first frame; the sound is left out. Raises ValueError when `video` cannot be read.
    """
    names = [f"{i + 1}: {each.score:.2f}" for i, each in enumerate(tubelets)] if titles is None else list(titles)
    if len(names) != len(tubelets):
        raise ValueError(f"wanted one title for each of {len(tubelets)} tubelets, not {len(names)}.")
    info = probe(video)
    lanes = [(clips.seconds_at(each.span.start), clips.seconds_at(each.span.stop)) for each in tubelets]
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with whole(out) as partial, av.open(str(partial), "w", format="mp4", options={"movflags": "+faststart"}) as target:
        writer = Writer(target, info)
        for tick, frame in frames(info):
            seconds, picture = float(tick * info.time_base), upright(frame, info)
            for index, (tubelet, name) in enumerate(zip(tubelets, names, strict=True)):
                box = box_at(tubelet, seconds, clips)
                if box is not None:
                    draw_box(picture, box, colour_of(index), title=name)
            writer.add(with_time_bar(picture, lanes, seconds, float(info.duration)), tick)
        writer.close()
    return out


def still(
    video: Path, seconds: float, boxes: ArrayLike = (), *, truth: ArrayLike = (), titles: Sequence[str] = ()
) -> Picture:
    """The frame on screen at `seconds`, RGB uint8 (H, W, 3) at source size; past the end, the last one.

    boxes (N, 4) xyxy in [0, 1], arrays or tensors, are drawn solid, each with its title if there are any; truth (M, 4)
    is drawn dashed and white. Raises ValueError when `video` cannot be read.
    """
    picture = frame_at(video, seconds)
    for box in np.asarray(truth, float).reshape(-1, 4):
        draw_box(picture, box, TRUTH, dashed=True)
    for index, box in enumerate(np.asarray(boxes, float).reshape(-1, 4)):
        draw_box(picture, box, colour_of(index), title=titles[index] if index < len(titles) else "")
    return picture


def box_at(tubelet: Tubelet, seconds: float, clips: ClipSpec) -> NDArray[np.float64] | None:
    """Where the tubelet is at `seconds`, (4,) xyxy in [0, 1]; None before it begins and after it ends."""
    span = tubelet.span
    edges = np.array([clips.seconds_at(clip) for clip in range(span.start, span.stop + 1)])
    if not edges[0] - 1e-6 <= seconds < edges[-1] - 1e-6:
        return None
    centres = (edges[1:] + edges[:-1]) / 2
    return np.array([np.interp(seconds, centres, column) for column in tubelet.boxes.double().numpy().T])


def frame_at(video: Path, seconds: float) -> Picture:
    """The frame on screen at `seconds`, RGB uint8 (H, W, 3), upright."""
    info = probe(video)
    shown: VideoFrame | None = None
    for tick, frame in frames(info, seconds):
        if shown is not None and tick * info.time_base > seconds + 1e-6:
            break
        shown = frame
    if shown is None:
        raise VideoError(f"{video}: wanted the frame at {seconds:g} s, but none can be decoded there.")
    return upright(shown, info)


def frames(info: VideoInfo, from_seconds: float = 0.0) -> Iterator[tuple[int, VideoFrame]]:
    """(tick after the first frame, frame) in the order shown; begins at a key frame not after `from_seconds`.

    A packet that cannot be decoded is passed over.
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
    """The frame as RGB uint8 (H, W, 3), turned as its metadata say."""
    return np.rot90(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8), info.rotation).copy()


def jpeg(picture: Picture, max_height: int) -> bytes:
    """The picture, RGB uint8 (H, W, 3), as a JPEG file that is at most `max_height` pixels high."""
    height = min(picture.shape[0], max_height)
    width = max(round(picture.shape[1] * height / picture.shape[0]), 1)
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    encoder = av.VideoCodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = width, height, "yuvj444p", Fraction(1, 25)
    encoder.qmin = encoder.qmax = 3  # of 2 (best) to 31
    small = frame.reformat(width, height, "yuvj444p", interpolation=Interpolation.AREA, dst_color_range=ColorRange.JPEG)
    return b"".join(bytes(packet) for packet in [*encoder.encode(small), *encoder.encode(None)])


class Writer:
    """An H.264 stream whose frames keep the times of the source."""

    def __init__(self, target: OutputContainer, info: VideoInfo) -> None:
        self.target, self.time_base, self.last = target, info.time_base, -1
        interval = Fraction(int(info.ticks[-1]) + info.tail, len(info.ticks)) * info.time_base
        rate = (1 / interval).limit_denominator(1001) if interval > 0 else Fraction(24)
        self.stream = target.add_stream("libx264", rate=rate, options=ENCODER)
        self.stream.pix_fmt = "yuv420p"

    def add(self, picture: Picture, tick: int) -> None:
        """`picture` at `tick`; one that does not come after the last is left out."""
        if tick <= self.last:
            return
        picture = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]  # 4:2:0 wants even sides
        if self.last < 0:
            self.stream.height, self.stream.width = picture.shape[:2]
            self.stream.codec_context.time_base = self.time_base
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame.pts, frame.time_base, self.last = tick, self.time_base, tick
        self.target.mux(self.stream.encode(frame))

    def close(self) -> None:
        self.target.mux(self.stream.encode(None))
