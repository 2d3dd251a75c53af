"""Open a video file, read its packets, decode them. Damage is reported and read past."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
from av.stream import Disposition

OnError = Callable[[Exception], None]

ELSEWHERE = {"concat", "dash", "hls", "imf", "rtsp", "sdp", "webm_dash_manifest"}  # lists that lead to other files
FORMATS = ",".join(sorted({name for names in av.formats_available for name in names.split(",")} - ELSEWHERE))
OPTIONS = {"protocol_whitelist": "file", "format_whitelist": FORMATS}

av.logging.set_level(None)  # any other level calls Python from decoder threads, and closing a file can deadlock


class VideoError(ValueError):
    """A file that has no readable clips. The message is one line that names the file and says why."""


@contextmanager
def opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """The container and its best video stream; any error of the decoder becomes one line."""
    if not path.is_file():
        raise VideoError(f"{path} does not exist." if not path.exists() else f"{path} is a folder, not a video file.")
    try:
        with av.open(str(path.absolute()), metadata_errors="replace", options=dict(OPTIONS)) as container:
            yield container, best_stream(container, path)
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"{path} cannot be read as a video: {error.strerror}.") from error


def frames(container: Any, stream: Any, on_error: OnError, alive: Callable[[], None]) -> Iterator[av.VideoFrame]:
    """All frames of a stream that can be decoded, in the order shown."""
    for packet in packets(container, stream, on_error, alive):
        yield from decoded(stream, packet, on_error)


def packets(
    container: Any, stream: Any | None, on_error: OnError, alive: Callable[[], None]
) -> Iterator[av.Packet | None]:
    """All packets that can be read, then None, which makes the decoder give out the frames it still holds.

    stream: None for those of all streams.
    """
    try:
        for packet in container.demux() if stream is None else container.demux(stream):
            alive()
            if packet.size:
                yield packet
    except av.FFmpegError as error:
        on_error(error)
    yield None


def decoded(stream: Any, packet: av.Packet | None, on_error: OnError) -> list[av.VideoFrame]:
    try:
        return stream.codec_context.decode(packet)
    except av.FFmpegError as error:
        on_error(error)
        return []


def stamp_of(frame: av.VideoFrame) -> int | None:
    return frame.dts if frame.pts is None else frame.pts


def best_stream(container: Any, path: Path) -> Any:
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


def ignore(error: Exception) -> None:
    """Damage is reported when the clips are decoded; here it is enough to read on."""
