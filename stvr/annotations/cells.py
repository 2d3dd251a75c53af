"""Tables as text, whoever wrote them: commas, semicolons or tabs; quotes, spaces, comments and empty rows."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from math import isfinite
from pathlib import Path

from stvr.texts import read_text

DELIMITERS = ("\t", ";", ",")
DECIMAL_COMMA = re.compile(r"([+-]?\d*),(\d+)")


@dataclass(frozen=True, slots=True)
class Cells:
    """The rows of a table that hold anything, cells without the spaces around them, and in which line each begins.

    delimiter: what stood between the cells. With semicolons or tabs, numbers may have a decimal comma.
    """

    source: str
    delimiter: str
    lines: list[int]
    rows: list[list[str]]

    def where(self, index: int) -> str:
        return f"{self.source}, line {self.lines[index]}"

    def number(self, text: str, column: str, where: str) -> float:
        """The finite number that a cell holds. ValueError, with the place and the column, for anything else."""
        try:
            number = float(with_point(text, self.delimiter))
        except ValueError:
            raise ValueError(f"{where}: {column} is {text!r}, wanted a number.") from None
        if not isfinite(number):
            raise ValueError(f"{where}: {column} is {text!r}, wanted a finite number.")
        return number


def with_point(text: str, delimiter: str) -> str:
    """"0,5" as "0.5", where commas do not stand between the cells."""
    return DECIMAL_COMMA.sub(r"\1.\2", text) if delimiter != "," and DECIMAL_COMMA.fullmatch(text) else text


def read_cells(path: Path, least: int = 2) -> Cells:
    """The cells of a table. least: how many a row has, by which the delimiter is known.

    Empty rows are skipped, and so are rows that begin with # and have fewer cells. ValueError, with the line, for a
    quote that is not closed, and for what is no text.
    """
    text = read_text(path)
    delimiter = delimiter_of(text, least)
    reader = csv.reader(StringIO(text), delimiter=delimiter, skipinitialspace=True)
    is_spaced = any(space in text for space in " \t\f\v\xa0")  # most tables are not, and are read much faster
    lines, rows, line = list[int](), list[list[str]](), 1
    try:
        for cells in reader:
            if reader.line_num > line:
                raise ValueError(f"{path.name}, line {line}: a quote is opened and not closed in this line.")
            if is_spaced:
                cells = [cell.strip() for cell in cells]
            if any(cells) and not (cells[0].startswith("#") and len(cells) < least):
                lines.append(line)
                rows.append(cells)
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path.name}, line {line}: {error}.") from None
    return Cells(path.name, delimiter, lines, rows)


def delimiter_of(text: str, least: int) -> str:
    """Tab, semicolon or comma: the first with which a row has `least` cells; the comma if no row has so many."""
    rows = (line for line in text.split("\n") if not line.startswith("#"))
    return next((each for row in rows for each in DELIMITERS if row.count(each) >= least - 1), ",")


def read_headed(path: Path, wanted: Sequence[str], more: str = "") -> tuple[Cells, dict[str, int]]:
    """A table whose first row names its columns, in any order and case: the rows below it, and each column's place.

    Rows are as long as the header. ValueError where a wanted column is missing, twice there, or a row is longer; more:
    what else to say of the header.
    """
    cells = read_cells(path, min(4, len(wanted)))
    header = [name.lower() for name in cells.rows[0]] if cells.rows else []
    if missing := [name for name in wanted if name not in header]:
        raise ValueError(f"{path.name} has no column {', '.join(missing)}. Wanted the header {','.join(wanted)}{more}.")
    if twice := [name for name in wanted if header.count(name) > 1]:
        raise ValueError(f"{path.name} has the column {twice[0]} twice. Name every column once.")
    rows = []
    for index, row in enumerate(cells.rows[1:], start=1):
        if any(row[len(header):]):
            raise ValueError(f"{cells.where(index)}: {len(row)} cells, but {len(header)} in the header. Numbers have a "
                             "point, not a comma, where commas stand between the cells.")
        rows.append((row + [""] * len(header))[: len(header)])
    return (Cells(cells.source, cells.delimiter, cells.lines[1:], rows),
            {name: place for place, name in enumerate(header)})
