"""A process that decodes the beginning of a file that nobody knows: 0 for a video, 2 and one line for what is none."""

from __future__ import annotations

import sys
from contextlib import suppress
from itertools import islice
from pathlib import Path

from stvr.studio.uploads import MOST_MEMORY, MOST_PIXELS, MOST_SECONDS
from stvr.video.decode import VideoError, probe
from stvr.video.pictures import frames

FRAMES = 120


def look(path: Path, most_pixels: int = MOST_PIXELS, most_seconds: float = MOST_SECONDS) -> str:
    """Why it is not taken, or ""."""
    info = probe(path)
    if info.width * info.height > most_pixels:
        return f"{path} has pictures of {info.width} x {info.height}, more than {most_pixels / 1e6:.0f} million pixels."
    if info.duration > most_seconds:
        return f"{path} lasts {float(info.duration) / 3600:.1f} hours, more than {most_seconds / 3600:.1f}."
    if not sum(1 for _ in islice(frames(info), FRAMES)):
        return f"{path} has no frame that can be decoded."
    return ""


def main() -> int:
    with suppress(ImportError, ValueError):  # not every system has such limits
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        reason = look(Path(sys.argv[1]))
    except (VideoError, MemoryError) as error:
        reason = str(error) or "it takes too much memory."
    if reason:
        print(" ".join(reason.split()))
    return 2 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
