"""Read AVA's files: boxes at one a second, label maps, excluded timestamps."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from stvr.annotations.cells import read_cells, with_point
from stvr.annotations.held_out import HeldOut, released_labels
from stvr.annotations.reader import Reader, ReaderOptions
from stvr.annotations.rows import EDGES, Annotations, LeftOut, Rows
from stvr.texts import read_text
from stvr.video_names import plain_name

if TYPE_CHECKING:
    import pandas as pd

AVA_COLUMNS = ["video", "second", *EDGES, "label", "person"]
FIFTEEN_MINUTES = (900, 1800)  # seconds: the part of every film that AVA annotates and the authors' references stay in
LARGEST = 10**9  # that an id or a moment may be
STAND = 12  # the id of "stand" in AVA's label maps, by which they are known


class LabelOptions(ReaderOptions):
    """Options of a reader whose files hold ids of actions; their names are in a label map."""

    labels: Path | None = Field(None, description="The label map (.pbtxt).")

    def names(self) -> dict[int, str]:
        return read_label_map(self.labels) if self.labels else {}


class AvaOptions(LabelOptions):
    excluded: Path | None = Field(None, description="Excluded timestamps (.csv).")
    offset_seconds: int = Field(0, description="900 if the videos were cut to AVA's fifteen minutes.")


def read_ava(path: Path, *, names: Mapping[int, str] | None = None, excluded: set[tuple[str, int]] | None = None,
             offset_seconds: int = 0) -> Rows:
    """Reads `video,second,x1,y1,x2,y2,action_id,person_id`, one row a label; a box stands for its second.

    A row with a video and a second alone says that nobody is there and adds nothing.

    Args:
        names: of the actions, for people to read. excluded: (video, second) left out.
        offset_seconds: subtracted from every second; 900 for videos that were cut to AVA's fifteen minutes.
    Raises: ValueError with the line and column of the first cell that is wrong.
    """
    import pandas as pd

    table = read_boxes(path)
    rows = pd.DataFrame({
        "line": table.index,
        "video": plain_names(table["video"]),
        "person": table["person"],
        "start": read_whole(table, "second", path) - offset_seconds,
        "label": read_whole(table, "label", path),
        **{edge: read_number(table, edge, path) for edge in EDGES},
    }, index=table.index)
    if (rows["start"] < 0).any():
        first = rows[rows["start"] < 0].iloc[0]
        raise ValueError(f"{path.name}, line {first.line}: second {first.start + offset_seconds} is before the offset "
                         f"of {offset_seconds} s. Use offset 0 for videos that were not cut.")
    left_out = []
    if excluded:
        seconds = rows["start"] + offset_seconds
        trusted = [moment not in excluded for moment in zip(rows["video"], seconds, strict=True)]
        if not all(trusted):
            left_out = [LeftOut(len(rows) - sum(trusted), "rows", "at excluded timestamps")]
        rows = rows[trusted]
    return Rows(path.name, rows.assign(stop=rows["start"] + 1), dict(names or {}), left_out=left_out)


def read_label_map(path: Path) -> dict[int, str]:
    """Reads a .pbtxt of either dialect, item {name id} or label {name label_id label_type}, or lines `14: walk`.

    Between id and name of a line there may be a comma, a semicolon or a tab, too.
    """
    text = read_text(path)
    names: dict[int, str] = {}
    for block in re.finditer(r"\b(?:item|label)\s*\{((?:[^{}\"']|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')*)\}", text):
        name = re.search(r"\bname\s*:\s*(?:\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)')", block[1])
        index = re.search(r"\b(?:label_)?id\s*:\s*(\d+)", block[1])
        if not name or not index or int(index[1]) in names:
            line = text.count("\n", 0, block.start()) + 1
            raise ValueError(f"{path.name}, line {line}: wanted one name and one new id (or label_id) in each item.")
        names[int(index[1])] = re.sub(r"\\(.)", r"\1", name[1] if name[1] is not None else name[2])
    lines = re.findall(r"^[ \"]*(\d+)[ \"]*[:,;\t][ \"]*([^\s\"].*?)[ \"]*$", text, re.M)
    names = names or {int(number): name for number, name in lines}
    if not names:
        raise ValueError(f"{path.name} names no action, wanted blocks like: item {{ name: \"walk\" id: 14 }}")
    return names


def read_excluded(path: Path) -> set[tuple[str, int]]:
    """Reads `video,second` rows: moments whose annotations cannot be trusted."""
    cells, excluded = read_cells(path), set()
    for index, row in enumerate(cells.rows):
        second = cells.number(row[-1], "second", cells.where(index)) if len(row) == 2 else 0.5
        if second != round(second):
            raise ValueError(f"{cells.where(index)}: wanted video,second, not {','.join(row)!r}.")
        excluded.add((plain_name(row[0]), int(second)))
    return excluded


def read_boxes(path: Path) -> pd.DataFrame:
    """The cells of AVA's eight columns as text, indexed by line; a header and rows without a box are left out."""
    import pandas as pd

    cells = read_cells(path, len(AVA_COLUMNS))
    if not cells.rows:
        raise ValueError(f"{path.name} is empty, wanted rows {','.join(AVA_COLUMNS)}.")
    kept = [index for index, row in enumerate(cells.rows) if any(row[2:]) and not (index == 0 and is_header(row))]
    for index, row in enumerate(cells.rows):
        if len(row) != len(AVA_COLUMNS) and (any(row[2:]) or len(row) == 1):
            raise ValueError(f"{cells.where(index)}: {_why_not_eight(row)}")
    rows = [cells.rows[index] for index in kept]
    if cells.delimiter != ",":
        rows = [[with_point(cell, cells.delimiter) for cell in row] for row in rows]
    return pd.DataFrame(rows, columns=AVA_COLUMNS, index=[cells.lines[index] for index in kept], dtype=str)


def is_header(row: Sequence[str]) -> bool:
    """Whether a row names AVA's columns in AVA's order, whatever it calls the others than the box's."""
    return [cell.lower() for cell in row[2:6]] == EDGES and not row[6].lower().startswith(("person", "entity", "score"))


def plain_names(texts: pd.Series) -> pd.Series:
    return texts.map({text: plain_name(text) for text in texts.unique()})


def _why_not_eight(row: Sequence[str]) -> str:
    wanted = f"wanted 8 columns ({','.join(AVA_COLUMNS)})"
    if any("\t" in cell for cell in row):
        return f"{wanted} between commas, this line has tabs. Replace the tabs with commas."
    if len(row) == 7:
        return (f"{wanted}, this line has 7: files without a person id (AVA v1.0, predictions) cannot be linked. Use "
                "the files of AVA v2.1 or v2.2; to score predictions, use `stvr score ava`.")
    return f"{wanted}, this line has {len(row)}."


def read_number(table: pd.DataFrame, column: str, path: Path) -> pd.Series:
    import pandas as pd

    numbers = pd.to_numeric(table[column], errors="coerce").astype(float)
    wrong = ~np.isfinite(numbers)
    if wrong.any():
        line = numbers.index[wrong][0]
        raise ValueError(f"{path.name}, line {line}: {column} is {table[column][line]!r}, wanted a number.")
    return numbers


def read_whole(table: pd.DataFrame, column: str, path: Path) -> pd.Series:
    """Whole numbers, with or without leading zeros: '0902' and '902' are the same second."""
    numbers = read_number(table, column, path)
    broken = (numbers != numbers.round()) | (numbers.abs() > LARGEST)
    if broken.any():
        line = numbers.index[broken][0]
        raise ValueError(f"{path.name}, line {line}: {column} is {table[column][line]!r}, wanted a whole number.")
    return numbers.astype(int)


def hold_out_released(annotations: Annotations, options: AvaOptions, seed: int) -> HeldOut:
    """The authors' labels: 27 for val and 27 for test. ValueError for a label map that is not AVA's."""
    if annotations.names and annotations.names.get(STAND) != "stand":
        raise ValueError(f"{options.labels} is not AVA's label map, so the authors' held-out labels do not apply. "
                         "Name the labels to hold out with --held-out, or give --held-out none.")
    return released_labels()


def fifteen_minutes(annotations: Annotations, options: AvaOptions) -> tuple[float, float] | None:
    """The annotated part of AVA's films, if all the annotated seconds lie in it."""
    offset, (start, stop) = options.offset_seconds, FIFTEEN_MINUTES
    first, last = annotations.boxes["start"].min() + offset, annotations.boxes["stop"].max() + offset
    return (max(0.0, start - offset), stop - offset) if start <= first and last <= stop else None


def read(path: Path, options: AvaOptions) -> Rows:
    excluded = read_excluded(options.excluded) if options.excluded else None
    return read_ava(path, names=options.names(), excluded=excluded, offset_seconds=options.offset_seconds)


AVA = Reader(
    read, options=AvaOptions, argument="csvs", argument_help="AVA-format CSV files.", several=True, train_files=True,
    help="AVA-format annotations. Without --held-out, the authors' 27 + 27 labels are held out for val and test.",
    recognises=lambda path, first_line: True, held_out=hold_out_released, extent_seconds=fifteen_minutes,
)  # fmt: skip
