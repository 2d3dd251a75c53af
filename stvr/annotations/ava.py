"""Read AVA's files: boxes at one a second, label maps, excluded timestamps."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from stvr.annotations.held_out import HeldOut, released_labels
from stvr.annotations.reader import Reader, ReaderOptions
from stvr.annotations.rows import EDGES, Annotations, Rows

if TYPE_CHECKING:
    import pandas as pd

AVA_COLUMNS = ["video", "second", *EDGES, "label", "person"]
FIFTEEN_MINUTES = (900, 1800)  # seconds: the part of every film that AVA annotates and the authors' references stay in
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
    """Reads `video,second,x1,y1,x2,y2,action_id,person_id`, one row a label, no header; a box stands for its second.

    A row with a video and a second alone says that nobody is there and adds nothing.

    Args:
        names: of the actions, for people to read. excluded: (video, second) left out.
        offset_seconds: subtracted from every second; 900 for videos that were cut to AVA's fifteen minutes.
    Raises: ValueError with the line and column of the first cell that is wrong.
    """
    import pandas as pd

    table = read_cells(path)
    rows = pd.DataFrame({
        "line": table.index + 1,
        "video": table["video"].str.strip(),
        "person": table["person"].str.strip(),
        "start": read_whole(table, "second", path) - offset_seconds,
        "label": read_whole(table, "label", path),
        **{edge: read_number(table, edge, path) for edge in EDGES},
    }, index=table.index)
    if (rows["start"] < 0).any():
        first = rows[rows["start"] < 0].iloc[0]
        raise ValueError(f"{path.name}, line {first.line}: second {first.start + offset_seconds} is before the offset "
                         f"of {offset_seconds} s. Use offset 0 for videos that were not cut.")
    if excluded:
        seconds = rows["start"] + offset_seconds
        rows = rows[[moment not in excluded for moment in zip(rows["video"], seconds, strict=True)]]
    return Rows(path.name, rows.assign(stop=rows["start"] + 1), dict(names or {}))


def read_label_map(path: Path) -> dict[int, str]:
    """Reads a .pbtxt of either dialect, item {name id} or label {name label_id label_type}, or lines `14: walk`."""
    text = path.read_text(encoding="utf-8")
    names: dict[int, str] = {}
    for block in re.finditer(r"\b(?:item|label)\s*\{((?:[^{}\"']|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')*)\}", text):
        name = re.search(r"\bname\s*:\s*(?:\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)')", block[1])
        index = re.search(r"\b(?:label_)?id\s*:\s*(\d+)", block[1])
        if not name or not index or int(index[1]) in names:
            line = text.count("\n", 0, block.start()) + 1
            raise ValueError(f"{path.name}, line {line}: wanted one name and one new id (or label_id) in each item.")
        names[int(index[1])] = re.sub(r"\\(.)", r"\1", name[1] if name[1] is not None else name[2])
    names = names or {int(number): name for number, name in re.findall(r"^\s*(\d+)\s*:\s*(\S.*?)\s*$", text, re.M)}
    if not names:
        raise ValueError(f"{path.name} names no action, wanted blocks like: item {{ name: \"walk\" id: 14 }}")
    return names


def read_excluded(path: Path) -> set[tuple[str, int]]:
    """Reads `video,second` rows: moments whose annotations cannot be trusted."""
    excluded = set()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        video, comma, second = line.rpartition(",")
        if not line.strip():
            continue
        if not comma or not second.strip().isdecimal():
            raise ValueError(f"{path.name}, line {number}: wanted video,second, not {line!r}.")
        excluded.add((video, int(second)))
    return excluded


def read_cells(path: Path) -> pd.DataFrame:
    """The cells as text, indexed by line from 0; lines without a box are left out."""
    import pandas as pd

    text = path.read_text(encoding="utf-8-sig")
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        if line.count(",") != len(AVA_COLUMNS) - 1 and line.strip():
            raise ValueError(f"{path.name}, line {number}: {_why_not_eight(line, line.count(',') + 1)}")
    if not any(lines):
        raise ValueError(f"{path.name} is empty, wanted rows {','.join(AVA_COLUMNS)}.")
    table = pd.read_csv(StringIO("\n".join(lines)), names=AVA_COLUMNS, dtype=str, keep_default_na=False, header=None,
                        quoting=csv.QUOTE_NONE, skip_blank_lines=False, na_filter=False)
    boxless = table["label"].fillna("").str.strip() == ""
    if boxless.any():  # a video and a second alone, or an empty line
        boxless &= (table[AVA_COLUMNS[2:]].fillna("").map(str.strip) == "").all(axis=1)
    return table[~boxless]


def _why_not_eight(line: str, count: int) -> str:
    wanted = f"wanted 8 columns ({','.join(AVA_COLUMNS)})"
    if "\t" in line:
        return f"{wanted} between commas, this line has tabs. Replace the tabs with commas."
    if count == 7:
        return (f"{wanted}, this line has 7: files without a person id (AVA v1.0, predictions) cannot be linked. Use "
                "the files of AVA v2.1 or v2.2; to score predictions, use `stvr score ava`.")
    return f"{wanted}, this line has {count}."


def read_number(table: pd.DataFrame, column: str, path: Path) -> pd.Series:
    import pandas as pd

    numbers = pd.to_numeric(table[column], errors="coerce")
    if numbers.isna().any():
        line = numbers.index[numbers.isna()][0]
        raise ValueError(f"{path.name}, line {line + 1}: {column} is {table[column][line]!r}, wanted a number.")
    return numbers.astype(float)


def read_whole(table: pd.DataFrame, column: str, path: Path) -> pd.Series:
    """Whole numbers, with or without leading zeros: '0902' and '902' are the same second."""
    numbers = read_number(table, column, path)
    broken = numbers != numbers.round()
    if broken.any():
        line = numbers.index[broken][0]
        raise ValueError(f"{path.name}, line {line + 1}: {column} is {table[column][line]!r}, wanted a whole number.")
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
