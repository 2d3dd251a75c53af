"""Read JHMDB (Jhuang et al., ICCV 2013): the boxes around its puppet masks, and its lists of splits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stvr.annotations.frame_counts import (
    FrameOptions,
    FrameRates,
    frame_rows,
    kept_rates,
    named_as_given,
    rate_of,
    seconds_at,
)
from stvr.annotations.held_out import draw_if_whole
from stvr.annotations.reader import Reader
from stvr.annotations.rows import Rows, stack
from stvr.annotations.tubes_json import read_tube_truth, refuse_pickle
from stvr.texts import read_text
from stvr.video_names import ByVideo, plain_name

NUM_CLASSES = 21
MASK = "part_mask"  # the variable in every puppet_mask.mat: (rows, columns, frames), above 0 where the actor is


class JhmdbOptions(FrameOptions):
    splits: Path | None = Field(None, description="The folder splits: the videos it lists for training only train.")
    split: int = Field(1, ge=1, le=3, description="Which of the three splits, 1 to 3.")

    def parts(self) -> dict[str, str] | None:
        """Video -> "train" or "test"; None without the lists."""
        return read_splits(self.splits, self.split) if self.splits else None


def read_jhmdb(folder: Path, frame_rates: FrameRates) -> Rows:
    """Reads FOLDER/class/video/puppet_mask.mat: the box around the mask of each frame; a frame without one has none.

    A file instead of the folder is read as JHMDB-GT, written as JSON. Label ids count the classes, the folder's
    subfolders, in alphabetical order from 1. There is one actor in a video.

    Args:
        frame_rates: frames a second, of all videos or by video name; then only these videos are kept.
    Raises: ValueError for a file that holds no mask, FileNotFoundError and LookupError where there is nothing to read.
    """
    if folder.is_file():
        refuse_pickle(folder)
        return read_tube_truth(folder, frame_rates)
    files = sorted(folder.glob("*/*/puppet_mask.mat"))
    if not files:
        raise FileNotFoundError(f"{folder} holds no class/video/puppet_mask.mat. Give the folder puppet_mask of "
                                "JHMDB's puppet_mask.zip.")
    classes = sorted({file.parent.parent.name for file in files})
    masks = {plain_name(file.parent.relative_to(folder)): file for file in files}
    rates, left_out = kept_rates(masks, frame_rates, folder.name)
    parts, extents = [], {}
    for video, rate in rates.items():
        mask = read_mask(masks[video])
        frames, boxes = mask_boxes(mask)
        height, width, num_frames = mask.shape
        extents[video] = (0.0, float(seconds_at(num_frames, rate)))
        label = classes.index(masks[video].parent.parent.name) + 1
        parts.append(frame_rows(video, "0", label, frames, boxes, rate, (width, height)))
    rows = Rows(folder.name, stack(parts), dict(enumerate(classes, start=1)), extents, left_out, "frame")
    return named_as_given(rows, frame_rates)


def read_mask(file: Path) -> NDArray[np.bool_]:
    """(rows, columns, frames), True where the actor is."""
    from scipy.io import loadmat

    try:
        mask = loadmat(file, variable_names=[MASK])[MASK]
    except OSError:
        raise
    except Exception as error:
        raise ValueError(f"{file} holds no {MASK}: {type(error).__name__}: {error}") from None
    if mask.ndim == 2:  # MATLAB drops the last side of a single frame
        mask = mask[:, :, None]
    if mask.ndim != 3 or not mask.size:
        raise ValueError(f"{file}: {MASK} has the shape {mask.shape}, wanted (rows, columns, frames).")
    return np.asarray(mask > 0)


def mask_boxes(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Frames (T,) that show the actor, and the box around it (T, 4) xyxy in pixels, edges after the last pixel."""
    frames, boxes = [], []
    for frame in range(mask.shape[2]):
        rows, columns = (np.flatnonzero(mask[:, :, frame].any(axis)) for axis in (1, 0))
        if len(rows):
            frames.append(frame)
            boxes.append((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    return np.array(frames, np.int64), np.array(boxes, np.int64).reshape(-1, 4)


def read_splits(folder: Path, number: int) -> dict[str, str]:
    """Video -> "train" or "test", from the files *_test_split{number}.txt; videos of neither are left out.

    Raises FileNotFoundError where there is no such file, ValueError with the first line that is not a video and a 0, 1
    or 2.
    """
    files = sorted(folder.glob(f"*_test_split{number}.txt"))
    if not files:
        raise FileNotFoundError(f"{folder} holds no file *_test_split{number}.txt. Give JHMDB's folder splits.")
    splits: dict[str, str] = {}
    for file in files:
        for count, line in enumerate(read_text(file).split("\n"), start=1):
            words = line.split()
            if words and (len(words) != 2 or words[1] not in ("0", "1", "2")):
                raise ValueError(f"{file.name}, line {count}: wanted a video and 1 (train) or 2 (test), not {line!r}.")
            if words and words[1] != "0":
                splits[plain_name(words[0])] = {"1": "train", "2": "test"}[words[1]]
    return splits


def read(folder: Path, options: JhmdbOptions) -> Rows:
    rates, parts = options.rates(), options.parts()
    if parts is not None:
        known = ByVideo(rates) if isinstance(rates, Mapping) else rates
        rates = ByVideo({video: rate for video in parts if (rate := rate_of(video, known)) is not None})
    return read_jhmdb(folder, rates)


def train_videos(options: JhmdbOptions) -> set[str] | None:
    parts = options.parts()
    return None if parts is None else {video for video, part in parts.items() if part == "train"}


JHMDB = Reader(
    read, options=JhmdbOptions, argument="masks", argument_help="The folder puppet_mask: class/video/puppet_mask.mat.",
    help="JHMDB, the boxes around its puppet masks. Without --held-out, 4 + 4 classes are drawn if all "
         f"{NUM_CLASSES} are there, else none.",
    recognises=lambda path, first_line: path.is_dir(), needs_videos=True, held_out=draw_if_whole(NUM_CLASSES),
    train_videos=train_videos,
)  # fmt: skip
