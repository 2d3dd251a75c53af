"""When the frames of a file's videos are on screen: by the videos' own time stamps, where they are at hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stvr.render.exporters.account import Account
from stvr.render.exporters.tracks import constant_rate
from stvr.video.decode import VideoError
from stvr.video.frame_times import FrameTimes, read_frame_times
from stvr.video_names import ByVideo, names_of

Size = tuple[int, int]  # width, height in pixels
Videos = ByVideo[Path]  # files by the names of their videos, found under any spelling


def times_of(reference: str, rate: float | None, videos: Videos, account: Account,
             ) -> tuple[FrameTimes, Size | None]:
    """When the frames of a video are on screen, and the size of its picture where it is at hand.

    reference: its path, which may be there. rate: frames a second, of a video that is not at hand. videos: files among
    which it is looked for by name. ValueError where neither tells.
    """
    file = file_of(reference, videos)
    if file is not None:
        try:
            return read_frame_times(file)
        except (VideoError, OSError) as error:
            account.say(str(file), f"at hand, but cannot be read: {' '.join(str(error).split())}")
    times = constant_rate(rate)
    account.say(reference, f"not at hand, so {times.rate:g} frames a second are assumed throughout; give --videos for "
                           "the video's own time stamps")
    return times, None


def by_name(files: Sequence[Path]) -> Videos:
    return ByVideo(names_of(files))


def file_of(reference: str, videos: Videos) -> Path | None:
    """The file that a reference means: among the videos by its name, else the path itself."""
    if reference in videos:
        return videos[reference]
    return Path(reference) if Path(reference).is_file() else None
