"""Read a user's own table of boxes: a CSV with a header, sampled at any rate."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from stvr.annotations.reader import Reader, ReaderOptions
from stvr.annotations.rows import EDGES, Rows

if TYPE_CHECKING:
    import pandas as pd

TABLE_COLUMNS = ["video", "seconds", *EDGES, "person", "label"]
LONGEST_SECONDS = 1.0  # a row stands until the next row of its person, at most this long
Sizes = Mapping[str, tuple[int, int]]  # (width, height) in pixels by video name


class TableOptions(ReaderOptions):
    pixels: bool = Field(False, description="Boxes are in pixels of the files in --videos.")
    sizes: Sizes | None = None


def read_table(path: Path, *, sizes: Sizes | None = None) -> Rows:
    """Reads a CSV whose header names video, seconds, x1, y1, x2, y2, person and label (a word), in any order.

    A person with two labels at one moment has two rows. Boxes are shares of the picture, or pixels where the columns
    width and height are there or `sizes` gives (width, height) for the video. Ids count the labels in sorted order
    from 1.
    Raises: ValueError with the line and column of the first cell that is wrong.
    """
    import pandas as pd

    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = [column for column in TABLE_COLUMNS if column not in (reader.fieldnames or [])]
        if missing:
            raise ValueError(f"{path.name} has no column {', '.join(missing)}. Wanted the header "
                             f"{','.join(TABLE_COLUMNS)}, and width,height too if the boxes are in pixels.")
        records = [_read_record(row, reader.line_num, path.name, sizes) for row in reader]
    if not records:
        raise ValueError(f"{path.name} holds a header and no row.")
    rows = pd.DataFrame(records)
    names = dict(enumerate(sorted(set(rows["name"])), start=1))
    rows["label"] = rows["name"].map({name: index for index, name in names.items()})
    rows["stop"] = _stops(rows)
    return Rows(path.name, rows, names)


def _read_record(row: Mapping[str, str | None], line: int, source: str, sizes: Sizes | None) -> dict[str, object]:
    where = f"{source}, line {line}"
    words = {column: (row[column] or "").strip() for column in ("video", "person", "label")}
    for column, word in words.items():
        if not word:
            raise ValueError(f"{where}: {column} is empty.")
    start = _number(row, "seconds", where)
    if start < 0:
        raise ValueError(f"{where}: seconds is {start:g}, wanted 0 or more.")
    width, height = _size(row, where, words["video"], sizes)
    edges = {edge: _number(row, edge, where) / (width if edge[0] == "x" else height) for edge in EDGES}
    return {"line": line, "video": words["video"], "person": words["person"], "name": words["label"],
            "start": start, **edges}


def _size(row: Mapping[str, str | None], where: str, video: str, sizes: Sizes | None) -> tuple[float, float]:
    """What the box is divided by: the picture's size, or 1 where boxes are shares already."""
    if "width" in row and "height" in row:
        size = _number(row, "width", where), _number(row, "height", where)
    elif sizes is not None:
        if video not in sizes:
            raise ValueError(f"{where}: the size of video {video!r} is not known. Give columns width and height.")
        size = sizes[video]
    else:
        return 1.0, 1.0
    if min(size) <= 0:
        raise ValueError(f"{where}: the picture is {size[0]:g} x {size[1]:g} pixels, wanted at least 1 x 1.")
    return size


def _number(row: Mapping[str, str | None], column: str, where: str) -> float:
    try:
        number = float(row[column] or "")
    except ValueError:
        raise ValueError(f"{where}: {column} is {row[column]!r}, wanted a number.") from None
    if not np.isfinite(number):
        raise ValueError(f"{where}: {column} is {row[column]!r}, wanted a finite number.")
    return number


def _stops(rows: pd.DataFrame) -> pd.Series:
    """When each row ends: at the person's next moment, or a second later."""
    moments = rows[["video", "person", "start"]].drop_duplicates().sort_values(["video", "person", "start"])
    following = moments.groupby(["video", "person"])["start"].shift(-1).fillna(np.inf)
    moments["stop"] = np.minimum(following, moments["start"] + LONGEST_SECONDS)
    return rows[["video", "person", "start"]].merge(moments, how="left").set_index(rows.index)["stop"]


def read(path: Path, options: TableOptions) -> Rows:
    if options.pixels and options.sizes is None:
        raise ValueError("boxes in pixels need the pictures' sizes. Give --videos, or columns width and height.")
    return read_table(path, sizes=options.sizes if options.pixels else None)


def recognises(path: Path, first_line: str) -> bool:
    return set(TABLE_COLUMNS) <= {cell.strip() for cell in first_line.split(",")}


TABLE = Reader(
    read, options=TableOptions, argument="table", argument_help="CSV: video,seconds,x1,y1,x2,y2,person,label.",
    help="Your own annotations; boxes in [0, 1], or --pixels. Without --held-out, nothing is held out.",
    recognises=recognises, numbers_labels=True,
)  # fmt: skip
