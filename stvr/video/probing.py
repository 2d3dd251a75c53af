"""What must be known about video files before their annotations can be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stvr.structures import ClipSpec
from stvr.video.decode import VideoError, decode_clips, probe
from stvr.video.frame_times import FrameTimes, frame_times
from stvr.video_names import names_of


@dataclass(frozen=True, slots=True)
class Probed:
    """By video name: when its frames are on screen, (width, height) in pixels, whole clips, how many seconds its
    pictures last, when the first one is.

    failed: why a file is left out; doubtful: what is not as it promises.
    """

    times: dict[str, FrameTimes] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    clips: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    offsets: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    doubtful: dict[str, str] = field(default_factory=dict)


def probe_videos(paths: Sequence[Path]) -> Probed:
    """Demuxes every file but decodes only its first frame. ValueError when two files would have one name."""
    found = Probed()
    for name, path in names_of(paths).items():
        try:
            info = probe(path)
            found.clips[name] = info.count_clips(ClipSpec())
            found.seconds[name] = float(info.duration)
            found.times[name] = frame_times(info)
            found.sizes[name] = (info.width, info.height)
            found.offsets[name] = float(info.offset)
            if doubt := info.doubt():
                found.doubtful[name] = doubt
        except VideoError as error:
            found.failed[name] = str(error)
    return found


def decode_videos(found: Probed, paths: Sequence[Path]) -> None:
    """Decodes every frame of the files that were probed; a file that breaks moves to `failed`."""
    spec = ClipSpec(image_size=32)  # nobody looks at the frames
    for name, path in names_of(paths).items():
        if name not in found.clips:
            continue
        errors: list[Exception] = []
        try:
            count = sum(1 for _ in decode_clips(path, spec, on_error=errors.append))
        except VideoError as error:
            errors, count = [error], 0
        if errors or count < found.clips[name]:
            first = f": {' '.join(str(errors[0]).split())}" if errors else ""
            found.failed[name] = (f"{path} breaks while decoding: got {count} of {found.clips[name]} clips "
                                  f"and {len(errors)} errors{first}")
            del found.clips[name]
