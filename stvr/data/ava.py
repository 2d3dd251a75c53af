"""Read AVA's files: boxes at one a second, label maps, excluded timestamps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from stvr.data.annotations import EDGES, Annotations, clip_boxes, gather_labels

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
    table = _read_rows(path)
    line = pd.Series(table.index + 1, index=table.index)
    rows = pd.DataFrame({
        "line": line,
        "video": table["video"],
        "person": table["person"],
        "start": _whole(table, "second", path) - seconds_offset,
        "label": _whole(table, "label", path),
        **{edge: _number(table, edge, path) for edge in EDGES},
    })
    if (rows["start"] < 0).any():
        first = rows[rows["start"] < 0].iloc[0]
        raise ValueError(f"{path.name}, line {first.line}: second {first.start + seconds_offset} is before the offset "
                         f"of {seconds_offset} s. Use offset 0 for untrimmed videos.")
    if excluded:
        seconds = rows["start"] + seconds_offset
        rows = rows[[moment not in excluded for moment in zip(rows["video"], seconds, strict=True)]]
    rows["stop"] = rows["start"] + 1
    rows, num_clipped = clip_boxes(rows, path.name)
    return Annotations(gather_labels(rows, path.name), dict(names or {}), num_clipped)


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


def _read_rows(path: Path) -> pd.DataFrame:
    """The file as text, by line; rows that say nothing are gone."""
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    cells = [[cell.strip() for cell in line.split(",")] for line in lines]
    for number, row in enumerate(cells, start=1):
        if len(row) != len(AVA_COLUMNS) and row != [""]:
            raise ValueError(f"{path.name}, line {number}: {_why_not_eight(lines[number - 1], len(row))}")
    table = pd.DataFrame([row if row != [""] else [""] * 8 for row in cells], columns=AVA_COLUMNS, dtype=object)
    return table[(table[AVA_COLUMNS[2:]] != "").any(axis=1)]


def _why_not_eight(line: str, count: int) -> str:
    wanted = f"wanted 8 columns ({','.join(AVA_COLUMNS)})"
    if "\t" in line:
        return f"{wanted} between commas, this line has tabs. Replace the tabs by commas."
    if count == 7:
        return f"{wanted}, this line has 7: files without a person id (AVA v1.0, predictions) cannot be linked."
    return f"{wanted}, this line has {count}."


def _number(table: pd.DataFrame, column: str, path: Path) -> pd.Series:
    numbers = pd.to_numeric(table[column], errors="coerce")
    if numbers.isna().any():
        line = numbers.index[numbers.isna()][0]
        raise ValueError(f"{path.name}, line {line + 1}: {column} is {table[column][line]!r}, wanted a number.")
    return numbers.astype(float)


def _whole(table: pd.DataFrame, column: str, path: Path) -> pd.Series:
    """Whole numbers, with or without leading zeros: '0902' and '902' are one second."""
    numbers = _number(table, column, path)
    broken = numbers != numbers.round()
    if broken.any():
        line = numbers.index[broken][0]
        raise ValueError(f"{path.name}, line {line + 1}: {column} is {table[column][line]!r}, wanted a whole number.")
    return numbers.astype(int)
