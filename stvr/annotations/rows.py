"""What every annotation file becomes: boxes of persons with their labels, each for a stretch of time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

Label = tuple[int, ...]  # sorted ids: the combined label of Feng et al. 2019
EDGES = ["x1", "y1", "x2", "y2"]
COLUMNS = ["video", "person", "start", "stop", "labels", *EDGES]


@dataclass(frozen=True, slots=True, eq=False)
class Annotations:
    """One row of `boxes` for each person and moment; names: label id -> name.

    boxes has the columns video and person (str), start and stop (seconds the box stands for), labels (sorted tuple of
    ids), x1 y1 x2 y2 (float32 in [0, 1]). num_clipped: rows whose box stuck out of the picture.
    extents: (start, stop) seconds of the videos whose length the source knows.
    """

    boxes: pd.DataFrame
    names: Mapping[int, str] = field(default_factory=dict)
    num_clipped: int = 0
    extents: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def after_first_picture(self, offsets: Mapping[str, float]) -> Annotations:
        """With seconds counted from the first picture of each video, offsets[video] seconds on its clock.

        Boxes that end before it are left out.
        """
        shift = self.boxes["video"].map(dict(offsets)).fillna(0.0)
        boxes = self.boxes.assign(start=(self.boxes["start"] - shift).clip(lower=0.0), stop=self.boxes["stop"] - shift)
        extents = {video: (max(start - by, 0.0), stop - by) for video, (start, stop) in self.extents.items()
                   if stop > (by := offsets.get(video, 0.0))}
        return replace(self, boxes=boxes[boxes["stop"] > 0].reset_index(drop=True), extents=extents)


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """A file as it stands, before its boxes are checked against the picture: one row for each box and label.

    table has the columns line (in the file), video and person (str), start and stop (seconds), label (int id) and
    x1 y1 x2 y2 (float64; shares of the picture, if the file is right). source: the file's name, for messages.
    names and extents: as in Annotations.
    """

    source: str
    table: pd.DataFrame
    names: Mapping[int, str] = field(default_factory=dict)
    extents: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def checked(self) -> Annotations:
        """Boxes clipped, labels gathered. Raises ValueError with the line of the first row that is wrong."""
        rows, num_clipped = clip_boxes(self.table, self.source)
        return Annotations(gather_labels(rows, self.source), dict(self.names), num_clipped, dict(self.extents))


def gather_labels(rows: pd.DataFrame, source: str) -> pd.DataFrame:
    """Rows with one label each become one row for each person and moment.

    rows has the columns of Annotations.boxes with `label` (int) for `labels`, and `line`, the line in the file.
    Raises ValueError where a person has two boxes at once.
    """
    import pandas as pd

    moment = ["video", "person", "start"]
    rows = rows.sort_values([*moment, "label", "line"], kind="stable").reset_index(drop=True)
    fresh = (rows[moment] != rows[moment].shift()).any(axis=1).to_numpy()
    moved = (rows[EDGES] != rows[EDGES].shift()).any(axis=1).to_numpy() & ~fresh
    if moved.any():
        first = rows.iloc[np.flatnonzero(moved)[0]]
        raise ValueError(f"{source}, line {first.line}: person {first.person} of {first.video!r} already has another "
                         f"box at {first.start:g} s. Give one box for each person and moment, and one row per label.")
    repeated = (rows[[*moment, "label"]] == rows[[*moment, "label"]].shift()).all(axis=1).to_numpy()
    labels, fresh = rows["label"].to_numpy()[~repeated].tolist(), fresh[~repeated]
    edges = [*np.flatnonzero(fresh).tolist(), len(labels)]
    gathered = rows[~repeated][fresh].copy()
    gathered["labels"] = pd.Series([tuple(labels[first:after]) for first, after in pairwise(edges)],
                                   index=gathered.index, dtype=object)
    return gathered[COLUMNS].reset_index(drop=True)


def clip_boxes(rows: pd.DataFrame, source: str) -> tuple[pd.DataFrame, int]:
    """Boxes clipped to the picture, and how many rows that changed.

    Raises ValueError, with the line, for a box that is empty, swapped, or in pixels (more than a picture outside).
    """
    edges = rows[EDGES].to_numpy(np.float64)
    strange = ~np.isfinite(edges) | (np.abs(edges - 0.5) > 1.5)
    if strange.any():
        row, column = np.argwhere(strange)[0]
        raise ValueError(f"{source}, line {rows['line'].iloc[row]}: {EDGES[column]} is {edges[row, column]:g}, wanted "
                         "a share of the picture, 0 to 1. Divide pixels by the picture's width and height.")
    clipped = edges.clip(0, 1)
    empty = (clipped[:, 2:] <= clipped[:, :2]).any(1)
    if empty.any():
        row = int(np.flatnonzero(empty)[0])
        box = ", ".join(f"{edge:g}" for edge in edges[row])
        raise ValueError(f"{source}, line {rows['line'].iloc[row]}: the box ({box}) covers nothing of the picture, "
                         "wanted x1 < x2 and y1 < y2, in the order x1, y1, x2, y2.")
    rows = rows.copy()
    rows[EDGES] = clipped.astype(np.float32)
    return rows, int((clipped != edges).any(1).sum())


def merge(parts: list[Annotations]) -> Annotations:
    """Several files as one. Raises ValueError where two give one label different names."""
    if not parts:
        raise ValueError("no annotation file was given, wanted at least one.")
    names: dict[int, str] = {}
    for part in parts:
        for index, name in part.names.items():
            if names.setdefault(index, name) != name:
                raise ValueError(f"label {index} is {names[index]!r} in one file and {name!r} in another.")
    boxes = stack(part.boxes for part in parts)
    extents = {video: extent for part in parts for video, extent in part.extents.items()}
    return Annotations(boxes, names, sum(part.num_clipped for part in parts), extents)


def stack(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """One table under the other, numbered anew."""
    import pandas as pd

    return pd.concat(list(tables), ignore_index=True)


def with_shared_names(parts: Sequence[Rows]) -> list[Rows]:
    """Files that each number their labels for themselves: now the ids number all names, in sorted order from 1."""
    names = dict(enumerate(sorted({name for part in parts for name in part.names.values()}), start=1))
    ids = {name: index for index, name in names.items()}
    renamed = []
    for part in parts:
        label = part.table["label"].map({old: ids[name] for old, name in part.names.items()})
        renamed.append(Rows(part.source, part.table.assign(label=label), names, part.extents))
    return renamed
