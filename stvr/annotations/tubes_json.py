"""Read a ground truth of tubes in the form of ACT-detector (Kalogeiton et al., ICCV 2017), written as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stvr.annotations.frame_counts import frame_rows, rate_of, video_name
from stvr.annotations.rows import Rows

FIRST_FRAME = 1  # ACT-detector counts frames from 1, and so do the sets that took its form
TUBE_KEYS = ("labels", "gttubes", "resolution")


def tube_rows(path: Path, frame_rates: Mapping[str, float] | float) -> Rows:
    """ACT-detector's ground truth as JSON: labels, resolution (height, width), gttubes {video: {label: tubes}}.

    A tube is a list of rows frame, x1, y1, x2, y2: frames from 1, pixels. nframes says how long the videos are.
    """
    truth = read_truth(path)
    parts, extents = [], {}
    for key, tubes in truth["gttubes"].items():
        video = video_name(key)
        rate = rate_of(video, frame_rates)
        if rate is None:
            continue
        try:
            height, width = (float(side) for side in truth["resolution"][key])
            for label, group in tubes.items():
                for number, tube in enumerate(group):
                    table = np.asarray(tube, np.float64).reshape(-1, 5)
                    parts.append(frame_rows(video, f"{int(label)}.{number}", int(label), table[:, 0] - FIRST_FRAME,
                                            table[:, 1:], rate, (width, height)))
            if key in truth.get("nframes", {}):
                extents[video] = (0.0, int(truth["nframes"][key]) / rate)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{path.name}, video {key!r}: wanted its resolution (height, width) and tubes of rows "
                             f"frame,x1,y1,x2,y2; {type(error).__name__}: {error}") from None
    if not parts:
        raise LookupError(f"{path.name} annotates {len(truth['gttubes'])} videos, none among those given.")
    names = {index: str(name) for index, name in enumerate(truth["labels"])}
    return Rows(path.name, pd.concat(parts, ignore_index=True), names, extents)


def read_truth(path: Path) -> dict[str, Any]:
    try:
        truth = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path.name} is not JSON: {error}") from None
    if not isinstance(truth, dict) or any(key not in truth for key in TUBE_KEYS) or not truth["gttubes"]:
        raise ValueError(f"{path.name} is not a ground truth of tubes, wanted an object with {', '.join(TUBE_KEYS)}.")
    return truth


def refuse_pickle(path: Path) -> None:
    """ValueError with the way out: a pickle can run any program when it is opened."""
    with path.open("rb") as file:
        pickled = file.read(2)[:1] == b"\x80" or path.suffix.lower() in (".pkl", ".pickle")
    if pickled:
        raise ValueError(
            f"{path.name} is a pickle, which is not opened: opening one runs whatever it asks for. If you trust it, "
            f"write it as JSON and give that: python -c \"import json, pickle; json.dump(pickle.load(open('{path.name}'"
            f", 'rb'), encoding='latin1'), open('{path.stem}.json', 'w'), default=lambda a: a.tolist())\"")
