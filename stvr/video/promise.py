"""What a container promises, held against what is there."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

TELL = ("mp4", "matroska", "avi", "flv", "asf")  # their headers say how long the video is; others are guessed
PACKET_SIZES = {0: 188, 4: 192}  # of a transport stream, by where its first sync byte lies
SYNC = 0x47


def missing_seconds(container: Any, stream: Any, start: Fraction, ends: Mapping[int, Fraction]) -> Fraction:
    """How much earlier the video ends than the header says; 0 where no header says.

    start: of the video. ends: of each stream that is there, in seconds; some headers say only when the longest ends.
    """
    if not any(name in container.format.name for name in TELL):
        return Fraction(0)
    if stream.duration:
        return start + stream.duration * stream.time_base - ends[stream.index]
    if said := _tagged(stream.metadata.get("DURATION", "")):
        return said - ends[stream.index]
    return Fraction(container.duration, 1_000_000) - max(ends.values()) if container.duration else Fraction(0)


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
