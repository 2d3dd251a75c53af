"""Read UCF101-24's corrected annotations (Singh et al., ICCV 2017): tubes with a box a frame."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from stvr.annotations.frame_counts import (
    FrameOptions,
    FrameRates,
    Rate,
    before_end,
    frame_rows,
    kept_rates,
    named_as_given,
    seconds_at,
)
from stvr.annotations.held_out import draw_if_whole
from stvr.annotations.reader import Reader
from stvr.annotations.rows import LeftOut, Rows, stack
from stvr.plain_pickle import load_plain
from stvr.texts import read_text
from stvr.video_names import ByVideo, plain_name

if TYPE_CHECKING:
    import pandas as pd

CLASSES = (
    "Basketball", "BasketballDunk", "Biking", "CliffDiving", "CricketBowling", "Diving", "Fencing", "FloorGymnastics",
    "GolfSwing", "HorseRiding", "IceDancing", "LongJump", "PoleVault", "RopeClimbing", "SalsaSpin", "SkateBoarding",
    "Skiing", "Skijet", "SoccerJuggling", "Surfing", "TennisSwing", "TrampolineJumping", "VolleyballSpiking",
    "WalkingWithDog",
)  # fmt: skip
PICTURE = (320, 240)  # the size that all boxes refer to, whatever the video file's


class Ucf101Options(FrameOptions):
    test_list: Path | None = Field(None, description="testlist01.txt: what it lists only evaluates, the rest trains.")


def read_ucf101_24(path: Path, frame_rates: FrameRates) -> Rows:
    """Reads pyannot.pkl: frames [sf, ef) counted from 0, boxes x, y, width, height in a picture of 320 x 240.

    Label ids count the 24 classes in alphabetical order from 1. Each frame's box stands while the frame is on screen.

    Args:
        frame_rates: frames a second, of all videos or by video name ("v_Biking_g01_c01"); then only these videos are
            kept.
    Raises: ValueError where the file is not what it should be, LookupError where it holds none of the videos.
    """
    videos = read_tubes(path)
    rates, left_out = kept_rates(videos, frame_rates, path.name)
    parts, extents = [], {}
    for video, rate in rates.items():
        where = f"{path.name}, video {video!r}"
        found = [rows for person, tube in enumerate(videos[video]["annotations"])
                 if len(rows := tube_rows(video, person, tube, rate, f"{where}, tube {person}"))]
        kept, late = before_end(found, int(videos[video]["numf"]), where)
        parts += kept
        left_out += late
        if num_empty := len(videos[video]["annotations"]) - len(found):
            left_out.append(LeftOut(num_empty, "tubes", "they hold no box", where, [] if found else [video]))
        elif not found:
            left_out.append(LeftOut(1, "videos", "they hold no tube", where, [video]))
        extents[video] = (0.0, float(seconds_at(int(videos[video]["numf"]), rate)))
    if not parts:
        raise LookupError(f"{path.name} holds no tube with a box (first: video {next(iter(rates))!r}).")
    names = dict(enumerate(CLASSES, start=1))
    whole = Rows(path.name, stack(parts), names, extents, left_out, "frame", in_pixels=True)
    return named_as_given(whole, frame_rates)


def tube_rows(video: str, person: int, tube: Mapping[str, Any], rate: Rate, where: str) -> pd.DataFrame:
    """One row a frame. Boxes are stored as uint8, and widened here before x + width can overflow."""
    try:
        boxes = np.asarray(tube["boxes"]).reshape(-1, 4).astype(np.float64)  # (T, 4) x, y, width, height
        start, stop, label = int(tube["sf"]), int(tube["ef"]), int(tube["label"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{where}: wanted label, sf, ef and boxes of 4 numbers; {type(error).__name__}: {error}") \
            from None
    if start < 0 or len(boxes) != stop - start:
        raise ValueError(f"{where}: {len(boxes)} boxes for frames {start} to {stop}, wanted a box for each frame from "
                         "sf, counted from 0, to before ef.")
    if not 0 <= label < len(CLASSES):
        raise ValueError(f"{where}: label {label}, wanted 0 to {len(CLASSES) - 1}.")
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
    return frame_rows(video, str(person), label + 1, np.arange(start, stop), corners, rate, PICTURE)


def read_tubes(path: Path) -> dict[str, Any]:
    """What the file holds, by video name: {"numf", "label", "annotations": [{"label", "sf", "ef", "boxes"}]}."""
    try:
        with path.open("rb") as file:
            videos = load_plain(file, encoding="latin1")
    except OSError:
        raise
    except Exception as error:  # on a broken file pickle may raise anything
        raise ValueError(f"{path.name} is not UCF101-24's pyannot.pkl: {error}") from None
    if isinstance(videos, dict) and "gttubes" in videos:
        raise ValueError(f"{path.name} is a ground truth in ACT-detector's form, not UCF101-24's pyannot.pkl. Write it "
                         "as JSON and read that with `stvr prepare multisports FILE.json`.")
    if not isinstance(videos, dict) or not all(map(is_video, videos.values())):
        raise ValueError(f"{path.name} is not UCF101-24's pyannot.pkl: wanted a dict of videos, each with numf and a "
                         "list of annotations.")
    return {plain_name(name): video for name, video in videos.items()}


def is_video(value: Any) -> bool:
    return (isinstance(value, dict) and isinstance(value.get("numf"), (int, float, np.number)) and value["numf"] >= 0
            and isinstance(value.get("annotations"), (list, tuple)))


def read(path: Path, options: Ucf101Options) -> Rows:
    return read_ucf101_24(path, options.rates())


def train_videos(options: Ucf101Options) -> set[str] | None:
    """The videos at hand that the list does not name. ValueError where it names none of them."""
    if options.test_list is None:
        return None
    given = options.rates()
    known = ByVideo(given if isinstance(given, Mapping) else {})
    lines = (line.split()[0] for line in read_text(options.test_list).split("\n") if line.strip())
    tests = {known.name(video) for video in lines} - {None}
    if not tests:
        raise ValueError(f"{options.test_list.name} names none of the {len(known)} videos. Give the list of this split "
                         "(testlist01.txt), and the folder of the videos with --videos.")
    return {video for video in known if video not in tests}


UCF101_24 = Reader(
    read, options=Ucf101Options, argument="annotations", argument_help="pyannot.pkl, read as plain data.",
    help=f"UCF101-24, for the videos in the folder. Without --held-out, 5 + 5 classes are drawn if all {len(CLASSES)} "
         "are there, else none.",
    recognises=lambda path, first_line: path.suffix.lower() == ".pkl", needs_videos=True,
    held_out=draw_if_whole(len(CLASSES)), train_videos=train_videos,
)  # fmt: skip
