"""Read MultiSports (Li et al., ICCV 2021): a CSV with a box a frame, or its ground truth as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stvr.data.annotations import EDGES, Annotations, Rows
from stvr.data.ava import read_cells, read_number, read_whole
from stvr.data.frames import frame_rows, rate_of, video_name

RATE = 25.0  # frames a second of every MultiSports video
FIRST_FRAME = 1  # of CSV and JSON: both count frames from 1, as ACT-detector's ground truth does
TUBE_KEYS = ("labels", "gttubes", "resolution")


def read_multisports(path: Path, *, names: Mapping[int, str] | None = None,
                     frame_rates: Mapping[str, float] | float = RATE) -> Annotations:
    """Reads `video,frame,x1,y1,x2,y2,action_id,entity_id` (shares, mmaction2's form) or the ground truth as JSON.

    Ids are the file's, from 0. Entities are counted anew for each action, so a person is "action.entity" here and
    does one action alone. A box stands while its frame is on screen.

    Args:
        names: of the actions; the JSON form brings its own.
        frame_rates: frames a second, of all videos or by video name; then only these videos are kept.
    Raises: ValueError for what does not fit and for a pickle, LookupError where no video is among those given.
    """
    return multisports_rows(path, names=names, frame_rates=frame_rates).checked()


def multisports_rows(path: Path, *, names: Mapping[int, str] | None = None,
                     frame_rates: Mapping[str, float] | float = RATE) -> Rows:
    """The rows of `read_multisports` as they stand."""
    if path.suffix.lower() == ".json":
        return tube_rows(path, frame_rates)
    refuse_pickle(path)
    table = read_cells(path)
    videos = table["video"].map({text: video_name(text) for text in table["video"].unique()})
    label = read_whole(table, "label", path)
    rates = videos.map({video: rate_of(video, frame_rates) for video in videos.unique()}).astype(float)
    frames = read_whole(table, "second", path) - FIRST_FRAME
    if (frames < 0).any():
        raise ValueError(f"{path.name}, line {frames.index[frames < 0][0] + 1}: frames count from {FIRST_FRAME}.")
    rows = pd.DataFrame({
        "line": table.index + 1, "video": videos, "label": label,
        "person": label.astype(str) + "." + table["person"].str.strip(),
        "start": frames / rates, "stop": (frames + 1) / rates,
        **{edge: read_number(table, edge, path) for edge in EDGES},
    })  # fmt: skip
    kept = rows[rates.notna()]
    if not len(kept):
        raise LookupError(f"{path.name} annotates {videos.nunique()} videos, none among those given.")
    return Rows(path.name, kept, dict(names or {}))


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
