"""Clips of a video that is still coming: through a pipe, or from an address; each as soon as its pictures are there."""

from __future__ import annotations

import re
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av

from stvr.structures import FeatureSpec
from stvr.video.clips import on_screen
from stvr.video.clock import USUAL_INTERVAL
from stvr.video.decode import cut_into_clips
from stvr.video.display import Display
from stvr.video.live_clock import LiveClock
from stvr.video.packets import FORMATS, OPTIONS, VideoError, best_stream, decoded, packets, stamp_of
from stvr.video.reading import Clip

ADDRESS = re.compile(r"(https?|rtsps?)://", re.IGNORECASE)
PROTOCOLS = "http,https,httpproxy,rtsp,rtp,udp,tcp,tls,crypto"  # never a file that a stream names
LISTS = ("hls", "dash", "rtsp")  # formats of addresses, whose parts come from addresses as well
OPEN_SECONDS, SILENT_SECONDS = 15.0, 15.0  # that an address may take to answer, and to send something
PIPE = "-"


@dataclass(frozen=True, slots=True)
class LiveFacts:
    """What is known of a stretch of a live source once its first picture is there.

    begins: the first picture's time on the stream's own clock, in seconds; opened: where that clock was when it was
    opened. size: of the picture as displayed. whole: whether it is a recording, whose length the server says.
    """

    begins: Fraction
    opened: Fraction
    size: tuple[int, int]
    whole: bool


@dataclass(slots=True)
class End:
    """How a stretch ended. error: "" where the sender ended it. errors: packets that could not be decoded."""

    error: str = ""
    errors: int = 0
    bridged: int = 0
    seconds: float = 0.0


def is_live(name: str) -> bool:
    """Whether it is read as it comes: standard input, an address, or a pipe in the file system."""
    return name == PIPE or is_address(name) or Path(name).is_fifo()


def is_address(name: str) -> bool:
    return ADDRESS.match(name) is not None


def said(name: str) -> str:
    """What a source is called in messages."""
    return "standard input" if name == PIPE else name


@contextmanager
def opened_live(name: str) -> Iterator[tuple[Any, Any]]:
    """The container and its best video stream. VideoError, one line, for what is no video or cannot be reached."""
    try:
        if is_address(name):
            options = {"protocol_whitelist": PROTOCOLS, "format_whitelist": ",".join((FORMATS, *LISTS))}
            if name.lower().startswith("rtsp"):
                options |= {"rtsp_transport": "tcp"}
            else:
                options |= {"reconnect": "1", "reconnect_delay_max": "4"}  # of a recording: goes on where it broke
            with av.open(name, options=options, metadata_errors="replace",
                         timeout=(OPEN_SECONDS, SILENT_SECONDS)) as container:  # fmt: skip
                yield container, best_stream(container, Path(name))
        else:
            with piped(name) as file, av.open(file, options=dict(OPTIONS), metadata_errors="replace") as container:
                yield container, best_stream(container, Path(name))
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"{said(name)} cannot be read as a video: {error.strerror or error}.") from error


@contextmanager
def piped(name: str) -> Iterator[Any]:
    """Unbuffered, so that what is there is read without waiting for more."""
    if name == PIPE:
        yield getattr(sys.stdin.buffer, "raw", sys.stdin.buffer)
        return
    with open(name, "rb", buffering=0) as file:
        yield file


class Stretch:
    """One connection to a live source, from its first picture to its end. `end` is complete once the clips are."""

    def __init__(self, name: str, container: Any, stream: Any, spec: FeatureSpec) -> None:
        self.stream, self.spec, self.end = stream, spec, End()
        stream.thread_type = "SLICE"  # threads that take a frame each would hold frames back
        interval = 1 / stream.average_rate if stream.average_rate else USUAL_INTERVAL
        self.clock = LiveClock[av.VideoFrame](stream.time_base, interval)
        self._lasts = 0  # the last picture, in ticks of the stream
        first_packets: list[int] = []
        shown = self._pictures(container, first_packets)
        first = next(shown, None)
        if first is None:
            raise VideoError(f"{said(name)} has a video stream, but not one frame of it can be decoded. MP4 can be "
                             "sent only if its index comes first; MPEG-TS and Matroska always can.")
        start = min([*first_packets, *([] if first[0] is None else [first[0]])], default=0)
        begins = start * stream.time_base
        opened = begins if container.start_time is None else Fraction(container.start_time, 1_000_000)
        display = Display.of(first[1], stream.sample_aspect_ratio)
        self.facts = LiveFacts(begins, opened, display.size, (container.size or 0) > 0)
        times = self.clock.times(chain([first], shown), start)
        timed = on_screen(times, self._tail, self.clock.time_base, spec.clip.fps)
        self._cut = cut_into_clips(timed, display, spec.clip, resize=spec.resize)

    def clips(self) -> Generator[Clip, None, None]:
        """Whole clips, from number 0 on."""
        before = None
        for number, frames, ticks in self._cut:
            self.end.seconds = float((number + 1) / self.spec.clip.clips_per_second)
            yield Clip(number, frames, ticks, before)
            before = frames[-1]
        self.end.bridged = self.clock.bridged

    def _pictures(self, container: Any, first_packets: list[int]) -> Iterator[tuple[int | None, av.VideoFrame]]:
        """stamp, picture. first_packets: gets the stamps of all packets up to the first picture."""
        begun = False
        for packet in packets(container, self.stream, self._broke, lambda: None):
            if not begun and packet is not None and not packet.is_discard and packet.pts is not None:
                first_packets.append(packet.pts)
            for frame in decoded(self.stream, packet, self._failed):
                begun = True
                self._lasts = frame.duration or 0
                yield stamp_of(frame), frame

    def _tail(self) -> int:
        return self._lasts * self.clock.finer or self.clock.interval

    def _broke(self, error: Exception) -> None:
        self.end.error = f"{getattr(error, 'strerror', None) or error}"

    def _failed(self, error: Exception) -> None:
        self.end.errors += 1
