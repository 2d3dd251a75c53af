"""What must be known about video files before their annotations can be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stvr.structures import ClipSpec
from stvr.video.decode import VideoError, decode_clips, probe


@dataclass(frozen=True, slots=True)
class Probed:
    """By video name: frames a second, (width, height) in pixels, whole clips, seconds of the first picture.

    failed: why a file is left out; doubtful: what is not as it promises.
    """

    rates: dict[str, float] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    clips: dict[str, int] = field(default_factory=dict)
    offsets: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    doubtful: dict[str, str] = field(default_factory=dict)


def probe_videos(paths: Sequence[Path]) -> Probed:
    """Demuxes every file but decodes only its first frame. ValueError when two files share a name."""
    found, seen = Probed(), dict[str, Path]()
    for path in paths:
        if seen.setdefault(path.stem, path) != path:
            raise ValueError(f"{seen[path.stem]} and {path} would both be called {path.stem!r}. Rename one, or leave "
                             "it out.")
        try:
            info = probe(path)
            found.clips[path.stem] = info.count_clips(ClipSpec())
            found.rates[path.stem] = len(info.ticks) / float(info.duration)
            found.sizes[path.stem] = (info.width, info.height)
            found.offsets[path.stem] = float(info.offset)
            if doubt := info.doubt():
                found.doubtful[path.stem] = doubt
        except VideoError as error:
            found.failed[path.stem] = str(error)
    return found


def decode_videos(found: Probed, paths: Sequence[Path]) -> None:
    """Decodes every frame of the files that were probed; a file that breaks moves to `failed`."""
    spec = ClipSpec(image_size=32)  # nobody looks at the frames
    for path in paths:
        if path.stem not in found.clips:
            continue
        errors: list[Exception] = []
        try:
            count = sum(1 for _ in decode_clips(path, spec, on_error=errors.append))
        except VideoError as error:
            errors, count = [error], 0
        if errors or count < found.clips[path.stem]:
            first = f": {' '.join(str(errors[0]).split())}" if errors else ""
            found.failed[path.stem] = (f"{path} breaks while decoding: got {count} of {found.clips[path.stem]} clips "
                                       f"and {len(errors)} errors{first}")
            del found.clips[path.stem]
