"""Read UCF101-24's corrected annotations (Singh et al., ICCV 2017): tubes with a box a frame."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from stvr.annotations.frame_counts import FrameOptions, FrameRates, Rate, frame_rows, no_video_kept, rate_of, seconds_at
from stvr.annotations.held_out import draw_if_whole
from stvr.annotations.reader import Reader
from stvr.annotations.rows import Rows, stack
from stvr.plain_pickle import load_plain

if TYPE_CHECKING:
    import pandas as pd

CLASSES = (
    "Basketball", "BasketballDunk", "Biking", "CliffDiving", "CricketBowling", "Diving", "Fencing", "FloorGymnastics",
    "GolfSwing", "HorseRiding", "IceDancing", "LongJump", "PoleVault", "RopeClimbing", "SalsaSpin", "SkateBoarding",
    "Skiing", "Skijet", "SoccerJuggling", "Surfing", "TennisSwing", "TrampolineJumping", "VolleyballSpiking",
    "WalkingWithDog",
)  # fmt: skip
PICTURE = (320, 240)  # the size that all boxes refer to, whatever the video file's


def read_ucf101_24(path: Path, frame_rates: FrameRates) -> Rows:
    """Reads pyannot.pkl: frames [sf, ef) counted from 0, boxes x, y, width, height in a picture of 320 x 240.

    Label ids count the 24 classes in alphabetical order from 1. Each frame's box stands while the frame is on screen.

    Args:
        frame_rates: frames a second, of all videos or by video name ("v_Biking_g01_c01"); then only these videos are
            kept.
    Raises: ValueError where the file is not what it should be, LookupError where it holds none of the videos.
    """
    videos = read_tubes(path)
    rates = {video: rate for video in videos if (rate := rate_of(video, frame_rates)) is not None}
    if not rates:
        raise no_video_kept(path.name, len(videos), frame_rates)
    parts, extents = [], {}
    for video, rate in rates.items():
        extents[video] = (0.0, float(seconds_at(int(videos[video]["numf"]), rate)))
        parts += [tube_rows(video, person, tube, rate) for person, tube in enumerate(videos[video]["annotations"])]
    return Rows(path.name, stack(parts), dict(enumerate(CLASSES, start=1)), extents)


def tube_rows(video: str, person: int, tube: Mapping[str, Any], rate: Rate) -> pd.DataFrame:
    """One row a frame. Boxes are stored as uint8, and widened here before x + width can overflow."""
    boxes = np.asarray(tube["boxes"]).astype(np.int64)  # (T, 4) x, y, width, height
    frames = np.arange(int(tube["sf"]), int(tube["ef"]))
    if boxes.shape != (len(frames), 4) or not len(frames):
        raise ValueError(f"{video!r}, tube {person}: boxes {boxes.shape} for frames {tube['sf']} to {tube['ef']}, "
                         "wanted a box of 4 numbers for each frame.")
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
    return frame_rows(video, str(person), int(tube["label"]) + 1, frames, corners, rate, PICTURE)


def read_tubes(path: Path) -> dict[str, Any]:
    """What the file holds, by video name: {"numf", "label", "annotations": [{"label", "sf", "ef", "boxes"}]}."""
    try:
        with path.open("rb") as file:
            videos = load_plain(file, encoding="latin1")
        tubes = {PurePosixPath(str(name)).name: video for name, video in videos.items()}
        wanted = all({"numf", "annotations"} <= set(video) for video in tubes.values())
    except OSError:
        raise
    except Exception as error:
        raise ValueError(f"{path.name} is not UCF101-24's pyannot.pkl: {error}") from None
    if not wanted:
        raise ValueError(f"{path.name} is not UCF101-24's pyannot.pkl: a video has no numf or annotations.")
    return tubes


def read(path: Path, options: FrameOptions) -> Rows:
    return read_ucf101_24(path, options.rates())


UCF101_24 = Reader(
    read, options=FrameOptions, argument="annotations", argument_help="pyannot.pkl, read as plain data.",
    help=f"UCF101-24, for the videos in the folder. Without --held-out, 5 + 5 classes are drawn if all {len(CLASSES)} "
         "are there, else none.",
    recognises=lambda path, first_line: path.suffix.lower() == ".pkl", needs_videos=True,
    held_out=draw_if_whole(len(CLASSES)),
)  # fmt: skip
