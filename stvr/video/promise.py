"""What a container promises, held against what is there."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

TELL = ("mp4", "matroska", "avi", "flv", "asf")  # their headers say how long the video is; others are guessed
PACKET_SIZES = {0: 188, 4: 192}  # of a transport stream, by where its first sync byte lies
SYNC = 0x47
NEAR = Fraction(3, 2)  # pictures that may be missing: headers round


def promise(
    container: Any, stream: Any, start: Fraction, ends: Mapping[int, Fraction], num_pictures: int
) -> tuple[Fraction, Fraction]:
    """How many seconds the header says the video has, and how many of these are missing; 0, 0 where no header says.

    start: of the video. ends: of each stream that is there, in seconds. num_pictures: that are there.
    """
    if not any(name in container.format.name for name in TELL):
        return Fraction(0), Fraction(0)
    end, there = _end(container, stream, start, ends)
    promised, missing = end - start, end - there
    if stream.frames and stream.average_rate:
        pictures = stream.frames / stream.average_rate
        cut_by_edits = "mp4" in container.format.name and pictures - promised > NEAR / stream.average_rate
        if not cut_by_edits:  # of pictures that an edit list takes out, the demuxer gives some, and counts all
            promised = max(promised, pictures)
            missing = max(missing, (stream.frames - num_pictures) / stream.average_rate)
    return promised, missing


def _end(container: Any, stream: Any, start: Fraction, ends: Mapping[int, Fraction]) -> tuple[Fraction, Fraction]:
    """When the video should end, and when it does, in seconds; some headers say only when the longest stream ends."""
    there = ends[stream.index]
    if stream.duration:
        return start + stream.duration * stream.time_base, there
    if said := _tagged(stream.metadata.get("DURATION", "")):
        return said, there
    return (Fraction(container.duration, 1_000_000), max(ends.values())) if container.duration else (there, there)


def _tagged(text: str) -> Fraction | None:
    """Matroska's "00:00:05.040000000", in seconds."""
    try:
        hours, minutes, seconds = map(Fraction, text.split(":"))
    except (ValueError, ZeroDivisionError):
        return None
    return hours * 3600 + minutes * 60 + seconds


def ends_within_a_packet(path: Path) -> bool:
    """Whether a transport stream is cut: it does not say how long it is, but consists of whole packets."""
    with path.open("rb") as file:
        begin = file.read(max(PACKET_SIZES) + 1)
    size = next((size for place, size in PACKET_SIZES.items() if begin[place : place + 1] == bytes([SYNC])), 0)
    return bool(size and path.stat().st_size % size)
