"""What every annotation file becomes: boxes of persons with their labels, each for a stretch of time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from stvr.annotations.units import empty, far_out, other_units
from stvr.video_names import ByVideo, short_names

if TYPE_CHECKING:
    import pandas as pd

Label = tuple[int, ...]  # sorted ids: the combined label of Feng et al. 2019
EDGES = ["x1", "y1", "x2", "y2"]
COLUMNS = ["video", "person", "start", "stop", "labels", *EDGES]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What is not used of a source, counted: so many `what` (rows, say), why, and where the first of them stands.

    videos: those that fell away as a whole.
    """

    count: int
    what: str
    why: str
    first: str = ""
    videos: Sequence[str] = ()

    def __str__(self) -> str:
        first = f" (first: {self.first})" if self.first else ""
        return f"{self.count} {self.what} left out: {self.why}{first}"


@dataclass(frozen=True, slots=True, eq=False)
class Annotations:
    """One row of `boxes` for each person and moment; names: label id -> name.

    boxes has the columns video and person (str), start and stop (seconds the box stands for), labels (sorted tuple of
    ids), x1 y1 x2 y2 (float32 in [0, 1]). num_clipped: rows whose box stuck out of the picture.
    extents: (start, stop) seconds of the videos whose length the source knows. left_out: what the readers did not use.
    """

    boxes: pd.DataFrame
    names: Mapping[int, str] = field(default_factory=dict)
    num_clipped: int = 0
    extents: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    left_out: Sequence[LeftOut] = ()

    def after_first_picture(self, offsets: Mapping[str, float]) -> Annotations:
        """With seconds counted from the first picture of each video, offsets[video] seconds on its clock.

        Boxes that end before it are left out.
        """
        shift = self.boxes["video"].map(dict(offsets)).fillna(0.0)
        boxes = self.boxes.assign(start=(self.boxes["start"] - shift).clip(lower=0.0), stop=self.boxes["stop"] - shift)
        extents = {video: (max(start - by, 0.0), stop - by) for video, (start, stop) in self.extents.items()
                   if stop > (by := offsets.get(video, 0.0))}
        early = self.boxes[boxes["stop"] <= 0]
        first = f"{early.iloc[0].video!r} at {early.iloc[0].start:g} s" if len(early) else ""
        gone = [LeftOut(len(early), "boxes", "they end before the first picture of their video", first)]
        return replace(self, boxes=boxes[boxes["stop"] > 0].reset_index(drop=True), extents=extents,
                       left_out=[*self.left_out, *(gone if len(early) else [])])


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """A file as it stands, before its boxes are checked against the picture: one row for each box and label.

    table has the columns line (in the file), video and person (str), start and stop (seconds), label (int id) and
    x1 y1 x2 y2 (float64; shares of the picture, if the file is right); width and height (pixels), where known.
    source: the file's name, for messages. names and extents: as in Annotations. left_out: what the reader did not use.
    said: what else a user should know. place: what `line` counts. in_pixels: the file has pixels of pictures whose size
    it states, where boxes may stick out of the picture.
    """

    source: str
    table: pd.DataFrame
    names: Mapping[int, str] = field(default_factory=dict)
    extents: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    left_out: Sequence[LeftOut] = ()
    place: str = "line"
    in_pixels: bool = False
    said: Sequence[str] = ()

    def checked(self) -> Annotations:
        """Boxes clipped, labels gathered. Raises ValueError with the line of the first row that is wrong."""
        if fault := self.other_units():
            raise ValueError(f"{fault}. Give shares of the picture, or its true size in pixels.")
        rows, num_clipped = self.clipped()
        boxes = gather_labels(rows, self.source, self.place)
        return Annotations(boxes, dict(self.names), num_clipped, dict(self.extents), self.left_out)

    def clipped(self) -> tuple[pd.DataFrame, int]:
        """The rows with boxes clipped to the picture, and how many that changed.

        Raises ValueError, with the line, for a box that is empty, swapped, or farther outside than boxes can be.
        """
        edges = self.table[EDGES].to_numpy(np.float64)
        strange = far_out(edges, self.in_pixels)
        if strange.any():
            row, column = np.argwhere(strange)[0].tolist()
            raise ValueError(f"{self.where(row)}: {EDGES[column]} is {edges[row, column]:g}, wanted a share of the "
                             "picture, 0 to 1. Divide pixels by the picture's width and height.")
        nothing = empty(edges)
        if nothing.any():
            row = int(np.flatnonzero(nothing)[0])
            box = ", ".join(f"{edge:g}" for edge in edges[row])
            raise ValueError(f"{self.where(row)}: the box ({box}) covers nothing of the picture, wanted x1 < x2 and "
                             "y1 < y2, in the order x1, y1, x2, y2.")
        clipped = edges.clip(0, 1)
        rows = self.table.copy()
        rows[EDGES] = clipped.astype(np.float32)
        return rows, int((clipped != edges).any(1).sum())

    def other_units(self) -> str | None:
        """A line that names the first box, where the boxes as a whole must be in other units than shares."""
        sizes = self.table[["width", "height"]].to_numpy(np.float64) if "width" in self.table else None
        edges = self.table[EDGES].to_numpy(np.float64)
        usable = np.flatnonzero(~far_out(edges, in_pixels=True).any(axis=1) & ~empty(edges))
        found = other_units(edges[usable], None if sizes is None else sizes[usable])
        return f"{self.where(int(usable[found[0]]))}: {found[1]}" if found else None

    def where(self, row: int) -> str:
        """The place of a row, for messages."""
        first = self.table.iloc[row]
        video = "" if self.place == "line" else f", video {first.video!r}"
        return f"{self.source}{video}, {self.place} {first.line}"

    def with_names(self, names: Mapping[str, str]) -> Rows:
        """The same rows with other names of videos; a video without a new name keeps its own."""
        table = self.table.assign(video=self.table["video"].map(lambda video: names.get(video, video)))
        extents = {names.get(video, video): extent for video, extent in self.extents.items()}
        return replace(self, table=table, extents=extents)


def gather_labels(rows: pd.DataFrame, source: str, place: str = "line") -> pd.DataFrame:
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
        raise ValueError(f"{source}, {place} {first.line}: person {first.person} of {first.video!r} already has another"
                         f" box at {first.start:g} s. Give one box for each person and moment, and one row per label.")
    repeated = (rows[[*moment, "label"]] == rows[[*moment, "label"]].shift()).all(axis=1).to_numpy()
    labels, fresh = rows["label"].to_numpy()[~repeated].tolist(), fresh[~repeated]
    edges = [*np.flatnonzero(fresh).tolist(), len(labels)]
    gathered = rows[~repeated][fresh].copy()
    gathered["labels"] = pd.Series([tuple(labels[first:after]) for first, after in pairwise(edges)],
                                   index=gathered.index, dtype=object)
    return gathered[COLUMNS].reset_index(drop=True)


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
    left_out = [each for part in parts for each in part.left_out]
    return Annotations(boxes, names, sum(part.num_clipped for part in parts), extents, left_out)


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
        renamed.append(replace(part, table=part.table.assign(label=label), names=names))
    return renamed


def with_shared_videos(parts: Sequence[Rows], known: Collection[str] = ()) -> list[Rows]:
    """Files in which a video has one name: that of the known video that is meant, else its short form among all."""
    found = known if isinstance(known, ByVideo) else ByVideo(dict.fromkeys(known))
    every = dict.fromkeys(str(video) for part in parts for video in (*part.table["video"].unique(), *part.extents))
    meant = {video: found.name(video) for video in every}
    short = short_names(video for video, name in meant.items() if name is None)
    names = {video: name or short[video] for video, name in meant.items()}
    return [part.with_names(names) for part in parts]
