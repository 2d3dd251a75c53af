"""Read a user's own table of boxes: a CSV with a header, sampled at any rate."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from stvr.annotations.cells import Cells, read_headed
from stvr.annotations.reader import Reader, ReaderOptions
from stvr.annotations.rows import EDGES, Rows
from stvr.video_names import ByVideo, plain_name

if TYPE_CHECKING:
    import pandas as pd

TABLE_COLUMNS = ["video", "seconds", *EDGES, "person", "label"]
LONGEST_SECONDS = 1.0  # a row stands until the next row of its person, at most this long
Sizes = Mapping[str, tuple[int, int]]  # (width, height) in pixels by video name


class TableOptions(ReaderOptions):
    pixels: bool = Field(False, description="Boxes are in pixels of the files in --videos.")
    sizes: Sizes | None = None


def read_table(path: Path, *, sizes: Sizes | None = None) -> Rows:
    """Reads a table whose header names video, seconds, x1, y1, x2, y2, person and label (a word), in any order.

    Between the cells there are commas, semicolons or tabs. A person with two labels at one moment has two rows. Boxes
    are shares of the picture, or pixels where the columns width and height are there or `sizes` gives (width, height)
    for the video. Ids count the labels in sorted order from 1.
    Raises: ValueError with the line and column of the first cell that is wrong.
    """
    import pandas as pd

    cells, places = read_headed(path, TABLE_COLUMNS, ", and width,height too if the boxes are in pixels")
    found = None if sizes is None else ByVideo(sizes)
    records = [_read_record({name: row[place] for name, place in places.items()}, cells, index, found)
               for index, row in enumerate(cells.rows)]
    if not records:
        raise ValueError(f"{path.name} holds a header and no row.")
    rows = pd.DataFrame(records)
    names = dict(enumerate(sorted(set(rows["name"])), start=1))
    rows["label"] = rows["name"].map({name: index for index, name in names.items()})
    rows["stop"] = _stops(rows)
    return Rows(path.name, rows, names, in_pixels="width" in rows)


def _read_record(row: Mapping[str, str], cells: Cells, index: int, sizes: Sizes | None) -> dict[str, object]:
    where = cells.where(index)
    for column in ("video", "person", "label"):
        if not row[column]:
            raise ValueError(f"{where}: {column} is empty.")
    start = cells.number(row["seconds"], "seconds", where)
    if start < 0:
        raise ValueError(f"{where}: seconds is {start:g}, wanted 0 or more.")
    size = _size(row, cells, where, sizes)
    sides = {"width": size[0], "height": size[1]} if size else {}
    edges = {edge: cells.number(row[edge], edge, where) / sides.get("width" if edge[0] == "x" else "height", 1.0)
             for edge in EDGES}
    return {"line": cells.lines[index], "video": plain_name(row["video"]), "person": row["person"],
            "name": row["label"], "start": start, **edges, **sides}


def _size(row: Mapping[str, str], cells: Cells, where: str, sizes: Sizes | None) -> tuple[float, float] | None:
    """What the box is divided by: the picture's size; None where boxes are shares already."""
    if "width" in row and "height" in row:
        size = cells.number(row["width"], "width", where), cells.number(row["height"], "height", where)
    elif sizes is None:
        return None
    elif row["video"] in sizes:
        size = sizes[row["video"]]
    else:
        raise ValueError(f"{where}: the size of video {row['video']!r} is not known. Give columns width and height.")
    if min(size) <= 0:
        raise ValueError(f"{where}: the picture is {size[0]:g} x {size[1]:g} pixels, wanted at least 1 x 1.")
    return size


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
    return set(TABLE_COLUMNS) <= set(re.split(r'[ ",;\t]+', first_line.lower()))


TABLE = Reader(
    read, options=TableOptions, argument="table", argument_help="CSV: video,seconds,x1,y1,x2,y2,person,label.",
    help="Your own annotations; boxes in [0, 1], or --pixels. Without --held-out, nothing is held out.",
    recognises=recognises, numbers_labels=True,
)  # fmt: skip
