"""What a video file is: its pictures' times, its size as displayed, and what is doubtful about it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stvr.structures import ClipSpec
from stvr.video.clips import count_instants, tail_of
from stvr.video.clock import is_clock, timeline
from stvr.video.display import Display
from stvr.video.packets import VideoError, decoded, frames, ignore, opened, packets, stamp_of
from stvr.video.promise import NEAR, ends_within_a_packet, promise

REORDERED = 16  # frames that a decoder may hold back (H.264, A.3.1): stamps run back by more only with the clock


@dataclass(frozen=True, slots=True, eq=False)
class VideoInfo:
    """What a video file says about itself.

    ticks (N,) int64: when its frames are shown, rising, in units of `time_base` seconds after the first.
    tail: ticks the last frame stays. start: the first timestamp. offset: seconds from where the container's clock
    begins, which players show as 0, to the first frame. display: how a decoded frame is shown.
    counted: the timestamps in the file do not belong to the frames (raw streams, some AVI files, clocks that jump), so
    frames are given `ticks` in the order they are decoded.
    bridged: what was wrong with the clock, in one line, or "". promised, missing: seconds that the container promises,
    and how many of these are not there; 0 where all are. cut_off: whether it ends in the middle of something, without a
    word of how long it should be.
    """

    path: Path
    ticks: NDArray[np.int64]
    tail: int
    time_base: Fraction
    start: int
    offset: Fraction
    display: Display
    codec: str
    counted: bool
    bridged: str = ""
    promised: Fraction = Fraction(0)
    missing: Fraction = Fraction(0)
    cut_off: bool = False

    @property
    def width(self) -> int:
        """Pixels as displayed."""
        return self.display.size[0]

    @property
    def height(self) -> int:
        """Pixels as displayed."""
        return self.display.size[1]

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

    def doubt(self, lost_seconds: Fraction = Fraction(0)) -> str:
        """What is not as the container promises, in one line, or "". lost_seconds: that do not decode."""
        whole, parts = self.promised or self.duration, [self.bridged] if self.bridged else []
        there = max(whole - self.missing - lost_seconds, Fraction(0))
        if self.missing or lost_seconds:
            parts.append(f"{float(there):.1f} of {float(whole):.1f} s are there")
        elif self.cut_off:
            parts.append(f"it ends in the middle of a packet: {float(there):.1f} s are there, and a transport stream "
                         "does not say of how many")
        return "; ".join(parts)


class _Packets(NamedTuple):
    """Of the video's packets in the order stored: stamps and durations, in ticks, of those that are shown.

    ends: of each stream, in seconds. num_pictures: of all that are there.
    """

    stamps: list[int | None]
    durations: list[int | None]
    ends: dict[int, Fraction]
    num_pictures: int = 0


def probe(path: Path | str, alive: Callable[[], None] = lambda: None) -> VideoInfo:
    """Reads all timestamps but decodes only the first frame, and all of a video whose timestamps cannot be believed.

    VideoError for a file that is not a video. alive: called at every packet, so that a decoder that hangs can be told
    apart from a long file.
    """
    path = Path(path)
    with opened(path) as (container, stream):
        found, frame = _read(container, stream, alive)
        if frame is None:
            raise VideoError(f"{path} has a video stream, but not one frame of it can be decoded.")
        raw = all(stamp is None for stamp in found.stamps)
        if raw:
            found = _counted(found, stream)
        known = {stamp: duration for stamp, duration in zip(found.stamps, found.durations, strict=True)
                 if stamp is not None}
        counted = raw or _in_file_order(container, stream, found)
        suspect = not counted and _is_suspect(found, stream.time_base)
        clock = timeline(_shown(path, alive) if suspect else sorted(known), stream.time_base)
        start, end = min(known), max(known)
        info = VideoInfo(
            path, clock.ticks, clock.interval if clock.bridged else tail_of(clock.ticks, known[end]), clock.time_base,
            start, _offset(container, start * stream.time_base), Display.of(frame, stream.sample_aspect_ratio),
            stream.codec_context.name, counted or bool(clock.bridged), clock.bridged,
            cut_off="mpegts" in container.format.name and ends_within_a_packet(path),
        )  # fmt: skip
        promised, missing = promise(container, stream, start * stream.time_base, found.ends, found.num_pictures)
        near = NEAR * clock.interval * clock.time_base
        return replace(info, promised=promised, missing=missing) if missing > near else info


def _read(container: Any, stream: Any, alive: Callable[[], None]) -> tuple[_Packets, Any]:
    """What is to be known of all packets, and the first frame that can be decoded, or None."""
    found, count, frame = _Packets([], [], defaultdict(Fraction)), 0, None
    for packet in packets(container, None, ignore, alive):
        stamp = None if packet is None else packet.dts if packet.pts is None else packet.pts
        if packet is not None and stamp is not None and packet.stream.type in ("video", "audio"):
            end = (stamp + (packet.duration or 0)) * packet.time_base
            found.ends[packet.stream.index] = max(found.ends[packet.stream.index], end)
        if packet is not None and packet.stream.index != stream.index:
            continue
        count += packet is not None
        if packet is not None and not packet.is_discard:
            found.stamps.append(stamp)
            found.durations.append(packet.duration)
        if frame is None:
            frame = next(iter(decoded(stream, packet, on_error=ignore)), None)
    return found._replace(num_pictures=count), frame


def _counted(found: _Packets, stream: Any) -> _Packets:
    """A raw stream has no stamps: each frame follows the one before."""
    interval = round(1 / (stream.average_rate or 25) / stream.time_base)
    lengths = [duration or interval for duration in found.durations]
    return found._replace(stamps=[0, *accumulate(lengths[:-1])], durations=[*lengths])


def _in_file_order(container: Any, stream: Any, found: _Packets) -> bool:
    """Whether frames are stamped in the order stored though they are shown in another, as AVI does."""
    known = [stamp for stamp in found.stamps if stamp is not None]
    return (container.format.name == "avi" and bool(stream.codec_context.has_b_frames)
            and all(before < after for before, after in pairwise(known)))  # fmt: skip


def _is_suspect(found: _Packets, time_base: Fraction) -> bool:
    """Whether the frames must be decoded to know when they are shown: stamps lack, repeat, jump, or run back far."""
    known = np.array([stamp for stamp in found.stamps if stamp is not None], np.int64)
    rising = np.unique(known)
    if len(rising) < len(found.stamps) or not is_clock(rising, time_base):
        return True
    back = np.maximum.accumulate(known) - known
    return bool(len(rising) > 1 and back.max() > REORDERED * np.median(np.diff(rising)))


def _shown(path: Path, alive: Callable[[], None]) -> list[int | None]:
    """The stamps of all frames that can be decoded, in the order shown."""
    with opened(path) as (container, stream):
        stream.thread_type = "AUTO"
        return [stamp_of(frame) for frame in frames(container, stream, ignore, alive)]


def _offset(container: Any, start_seconds: Fraction) -> Fraction:
    """Seconds from where the container's clock begins to `start_seconds`, in whole microseconds, as it counts."""
    if container.start_time is None:
        return Fraction(0)
    return Fraction(max(round(start_seconds * 1_000_000) - container.start_time, 0), 1_000_000)
