"""Read AVA's files: boxes at one a second, label maps, excluded timestamps."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

import pandas as pd

from stvr.annotations.rows import EDGES, Annotations, Rows

AVA_COLUMNS = ["video", "second", *EDGES, "label", "person"]


def read_ava(path: Path, *, names: Mapping[int, str] | None = None, excluded: set[tuple[str, int]] | None = None,
             seconds_offset: int = 0) -> Annotations:
    """Reads `video,second,x1,y1,x2,y2,action_id,person_id`, one row a label, no header; a box stands for its second.

    A row with a video and a second alone says that nobody is there and adds nothing. Boxes are clipped to the picture.

    Args:
        names: of the actions, for people to read. excluded: (video, second) left out.
        seconds_offset: taken from every second; 900 for files that were trimmed to AVA's fifteen minutes.
    Raises: ValueError with the line and column of whatever does not fit.
    """
    return ava_rows(path, names=names, excluded=excluded, seconds_offset=seconds_offset).checked()


def ava_rows(path: Path, *, names: Mapping[int, str] | None = None, excluded: set[tuple[str, int]] | None = None,
             seconds_offset: int = 0) -> Rows:
    """The rows of `read_ava` as they stand."""
    table = read_cells(path)
    rows = pd.DataFrame({
        "line": table.index + 1,
        "video": table["video"].str.strip(),
        "person": table["person"].str.strip(),
        "start": read_whole(table, "second", path) - seconds_offset,
        "label": read_whole(table, "label", path),
        **{edge: read_number(table, edge, path) for edge in EDGES},
    }, index=table.index)
    if (rows["start"] < 0).any():
        first = rows[rows["start"] < 0].iloc[0]
        raise ValueError(f"{path.name}, line {first.line}: second {first.start + seconds_offset} is before the offset "
                         f"of {seconds_offset} s. Use offset 0 for untrimmed videos.")
    if excluded:
        seconds = rows["start"] + seconds_offset
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
        raise ValueError(f"{path.name} holds no action, wanted blocks like: item {{ name: \"walk\" id: 14 }}")
    return names


def read_excluded(path: Path) -> set[tuple[str, int]]:
    """Reads `video,second` rows: moments whose annotation is not to be trusted."""
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
    """The cells as text, indexed by line from 0; lines that say nothing are gone."""
    text = path.read_text(encoding="utf-8-sig")
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        if line.count(",") != len(AVA_COLUMNS) - 1 and line.strip():
            raise ValueError(f"{path.name}, line {number}: {_why_not_eight(line, line.count(',') + 1)}")
    if not any(lines):
        raise ValueError(f"{path.name} is empty, wanted rows {','.join(AVA_COLUMNS)}.")
    table = pd.read_csv(StringIO("\n".join(lines)), names=AVA_COLUMNS, dtype=str, keep_default_na=False, header=None,
                        quoting=csv.QUOTE_NONE, skip_blank_lines=False, na_filter=False)
    silent = table["label"].fillna("").str.strip() == ""
    if silent.any():  # a video and a second without a box, or an empty line
        silent &= (table[AVA_COLUMNS[2:]].fillna("").map(str.strip) == "").all(axis=1)
    return table[~silent]


def _why_not_eight(line: str, count: int) -> str:
    wanted = f"wanted 8 columns ({','.join(AVA_COLUMNS)})"
    if "\t" in line:
        return f"{wanted} between commas, this line has tabs. Replace the tabs by commas."
    if count == 7:
        return (f"{wanted}, this line has 7: files without a person id (AVA v1.0, predictions) cannot be linked. Take "
                "the files of AVA v2.1 or v2.2; predictions are held against them with `stvr score ava`.")
    return f"{wanted}, this line has {count}."


def read_number(table: pd.DataFrame, column: str, path: Path) -> pd.Series:
    numbers = pd.to_numeric(table[column], errors="coerce")
    if numbers.isna().any():
        line = numbers.index[numbers.isna()][0]
        raise ValueError(f"{path.name}, line {line + 1}: {column} is {table[column][line]!r}, wanted a number.")
    return numbers.astype(float)


def read_whole(table: pd.DataFrame, column: str, path: Path) -> pd.Series:
    """Whole numbers, with or without leading zeros: '0902' and '902' are one second."""
    numbers = read_number(table, column, path)
    broken = numbers != numbers.round()
    if broken.any():
        line = numbers.index[broken][0]
        raise ValueError(f"{path.name}, line {line + 1}: {column} is {table[column][line]!r}, wanted a whole number.")
    return numbers.astype(int)
