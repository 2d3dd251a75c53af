"""Read a ground truth of tubes in ACT-detector's form (Kalogeiton et al., ICCV 2017), written as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stvr.annotations.frame_counts import FrameRates, Rate, frame_rows, no_video_kept, rate_of, seconds_at, video_name
from stvr.annotations.rows import Rows, stack

if TYPE_CHECKING:
    import pandas as pd

FIRST_FRAME = 1  # ACT-detector counts frames from 1, and so do the sets that use its form
TUBE_KEYS = ("labels", "gttubes", "resolution")


def read_tube_truth(path: Path, frame_rates: FrameRates) -> Rows:
    """ACT-detector's ground truth as JSON: labels, resolution (height, width), gttubes {video: {label: tubes}}.

    A tube is a list of rows frame, x1, y1, x2, y2: frames from 1, pixels. nframes says how long the videos are.
    """
    truth = read_json(path)
    parts, extents = [], {}
    for key in truth["gttubes"]:
        video = video_name(key)
        rate = rate_of(video, frame_rates)
        if rate is None:
            continue
        try:
            parts += video_rows(truth, key, rate)
            if key in truth.get("nframes", {}):
                extents[video] = (0.0, float(seconds_at(int(truth["nframes"][key]), rate)))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{path.name}, video {key!r}: wanted its resolution (height, width) and tubes of rows "
                             f"frame,x1,y1,x2,y2; {type(error).__name__}: {error}") from None
    if not parts:
        raise no_video_kept(path.name, len(truth["gttubes"]), frame_rates)
    names = {index: str(name) for index, name in enumerate(truth["labels"])}
    return Rows(path.name, stack(parts), names, extents)


def video_rows(truth: Mapping[str, Any], key: str, rate: Rate) -> list[pd.DataFrame]:
    """The rows of each tube of one video."""
    height, width = (float(side) for side in truth["resolution"][key])
    parts = []
    for label, tubes in truth["gttubes"][key].items():
        for number, tube in enumerate(tubes):
            table = np.asarray(tube, np.float64).reshape(-1, 5)
            parts.append(frame_rows(video_name(key), f"{int(label)}.{number}", int(label), table[:, 0] - FIRST_FRAME,
                                    table[:, 1:], rate, (width, height)))
    return parts


def read_json(path: Path) -> dict[str, Any]:
    try:
        truth = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path.name} is not JSON: {error}") from None
    whole = isinstance(truth, dict) and all(key in truth for key in TUBE_KEYS)
    if not whole or not truth["gttubes"] or not isinstance(truth["gttubes"], dict):
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
