"""Read MultiSports (Li et al., ICCV 2021): a CSV with a box a frame, or its ground truth as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from stvr.annotations.ava import read_cells, read_number, read_whole
from stvr.annotations.frame_counts import rate_of, video_name
from stvr.annotations.rows import EDGES, Annotations, Rows
from stvr.annotations.tubes_json import FIRST_FRAME, refuse_pickle, tube_rows

RATE = 25.0  # frames a second of every MultiSports video


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
