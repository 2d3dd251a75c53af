"""Read a ground truth of tubes in ACT-detector's form (Kalogeiton et al., ICCV 2017), written as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stvr.annotations.frame_counts import (
    FrameRates,
    Rate,
    before_end,
    frame_rows,
    kept_rates,
    named_as_given,
    seconds_at,
)
from stvr.annotations.rows import LeftOut, Rows, stack
from stvr.texts import read_json
from stvr.video_names import plain_name

if TYPE_CHECKING:
    import pandas as pd

FIRST_FRAME = 1  # ACT-detector counts frames from 1, and so do the sets that use its form
MOST_FRAMES = 10**9
TUBE_KEYS = {"labels": list, "gttubes": dict, "resolution": dict}


def read_tube_truth(path: Path, frame_rates: FrameRates) -> Rows:
    """ACT-detector's ground truth as JSON: labels, resolution (height, width), gttubes {video: {label: tubes}}.

    A tube is a list of rows frame, x1, y1, x2, y2: frames from 1, pixels. nframes says how long the videos are.
    """
    truth = read_truth(path)
    keys = {plain_name(key): key for key in truth["gttubes"]}
    rates, left_out = kept_rates(keys, frame_rates, path.name)
    parts, extents = [], {}
    for video, rate in rates.items():
        key = keys[video]
        try:
            rows, num_empty = video_rows(truth, video, key, rate)
            num_frames = int(truth.get("nframes", {}).get(key, 0))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            reason = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
            raise ValueError(f"{path.name}, video {key!r}: wanted its resolution (height, width) and tubes of rows "
                             f"frame,x1,y1,x2,y2, but {reason}") from None
        if num_frames > 0:
            extents[video] = (0.0, float(seconds_at(num_frames, rate)))
        kept, late = before_end(rows, max(num_frames, 0), f"{path.name}, video {key!r}")
        parts += kept
        left_out += late
        if num_empty:
            gone = [] if rows else [video]
            left_out.append(LeftOut(num_empty, "tubes", "they hold no box", f"{path.name}, video {key!r}", gone))
    if not parts:
        raise LookupError(f"{path.name} holds no tube with a box (first: video {next(iter(rates))!r}).")
    names = {index: str(name) for index, name in enumerate(truth["labels"])}
    whole = Rows(path.name, stack(parts), names, extents, left_out, "frame", in_pixels=True)
    return named_as_given(whole, frame_rates)


def video_rows(truth: Mapping[str, Any], video: str, key: str, rate: Rate) -> tuple[list[pd.DataFrame], int]:
    """The rows of each tube of one video, and how many tubes hold none. A score after the box is not read."""
    height, width = (float(side) for side in truth["resolution"][key])
    if not (0 < height < np.inf and 0 < width < np.inf):
        raise ValueError(f"its resolution is {height:g} x {width:g}")
    parts, num_empty = [], 0
    for label, tubes in truth["gttubes"][key].items():
        if not str(label).isdecimal() or int(label) >= len(truth["labels"]):
            raise ValueError(f"its label {label!r} is not one of 0 to {len(truth['labels']) - 1}")
        for number, tube in enumerate(tubes):
            if not len(tube):
                num_empty += 1
                continue
            frames, boxes = tube_boxes(np.asarray(tube, np.float64), f"tube {number} of label {label}")
            parts.append(frame_rows(video, f"{int(label)}.{number}", int(label), frames, boxes, rate, (width, height)))
    return parts, num_empty


def tube_boxes(table: NDArray[np.float64], where: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frames (T,) from 0 and boxes (T, 4) of a tube's rows (T, 5), or (T, 6) with a score."""
    if table.ndim != 2 or table.shape[1] not in (5, 6):
        raise ValueError(f"{where} has the shape {table.shape}")
    frames = table[:, 0] - FIRST_FRAME
    if not (np.isfinite(frames).all() and (frames == frames.round()).all() and frames.max() < MOST_FRAMES):
        raise ValueError(f"{where} has frames that are no whole numbers")
    if (frames < 0).any():
        raise ValueError(f"{where} has frame {table[:, 0].min():g}, and frames are counted from {FIRST_FRAME}")
    if len(np.unique(frames)) < len(frames):
        raise ValueError(f"{where} has two boxes in one frame")
    return frames, table[:, 1:5]


def read_truth(path: Path) -> dict[str, Any]:
    truth = read_json(path)
    whole = isinstance(truth, dict) and all(key in truth for key in TUBE_KEYS)
    if not whole or not truth["gttubes"] or not all(isinstance(truth[key], kind) for key, kind in TUBE_KEYS.items()):
        raise ValueError(f"{path.name} is not a ground truth of tubes, wanted an object with {', '.join(TUBE_KEYS)}.")
    return truth


def refuse_pickle(path: Path) -> None:
    """ValueError for a pickle, with the way around it: opening a pickle can run any program."""
    with path.open("rb") as file:
        pickled = file.read(2)[:1] == b"\x80" or path.suffix.lower() in (".pkl", ".pickle")
    if pickled:
        raise ValueError(
            f"{path.name} is a pickle, which is not opened: opening one runs whatever program is in it. If you trust "
            f"it, write it as JSON and give that: python -c \"import json, pickle; "
            f"json.dump(pickle.load(open('{path.name}', 'rb'), encoding='latin1'), open('{path.stem}.json', 'w'), "
            "default=lambda a: a.tolist())\"")
