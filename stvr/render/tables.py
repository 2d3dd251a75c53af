"""Tables of figures, one structure for the terminal and the page, and how a figure is written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    """The first column is text and the others mostly numbers; None and NaN are shown as a dash."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    emphasis: int | None = None  # index of the row that sums up


def in_percent(value: float | None) -> float | None:
    """0.5 -> 50; None where there is no value."""
    return None if value is None or math.isnan(value) else 100 * value


def percent(value: float | None) -> str | None:
    """0.5 -> "50.0"; None where there is no value."""
    number = in_percent(value)
    return None if number is None else f"{number:z.1f}"  # z: -0.0 is 0.0


def percents(values: Iterable[float | None]) -> list[Cell]:
    return [percent(value) for value in values]


def difference(value: float | None, other: float | None) -> float | None:
    """value - other; None where there is none of either."""
    return None if value is None or other is None else value - other


def spread(interval: Sequence[float | None] | None) -> str | None:
    """(0.1, 0.2) -> "10.0 to 20.0"; None where there is no interval."""
    low, high = (None, None) if interval is None else map(percent, interval)
    return None if low is None or high is None else f"{low} to {high}"


def cell_text(cell: Cell, dash: str = "–") -> str:
    """A cell as it is shown, `dash` for no value."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return dash
    if isinstance(cell, float):
        return f"{cell:.4g}"
    return f"{cell:,}" if isinstance(cell, int) else cell
