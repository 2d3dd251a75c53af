"""Bar charts as inline SVG: each bar with its name, its number and its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import isfinite

WIDTH, ROW, TOP = 460, 22, 26
NAMES, NUMBERS = 185, 48  # space for the names on the left and the numbers on the right
MAX_NAME = 28  # characters of a name that fit


@dataclass(frozen=True, slots=True)
class Bar:
    """value: >= 0, or None where there is none; low and high: an interval around it; soft: in the colour of a probe."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    soft: bool = False


@dataclass(frozen=True, slots=True)
class BarChart:
    """Bars under one another; top: the value of a full bar, None for the largest value."""

    title: str
    bars: Sequence[Bar]
    top: float | None = None
    note: str = ""


def bar_chart(chart: BarChart) -> str:
    """The chart as a card of the page, whose style sheet gives the colours."""
    values = [value for bar in chart.bars for value in (bar.value, bar.high) if value is not None and isfinite(value)]
    top = chart.top or max(values, default=0) or 1
    height = TOP + ROW * len(chart.bars) + 4
    rows = [row(bar, TOP + ROW * index, top) for index, bar in enumerate(chart.bars)]
    label = escape(chart.title, quote=True)
    note = f'<p class="note">{escape(chart.note)}</p>' if chart.note else ""
    return (
        f'<div class="chart"><svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">'
        f'<text class="name" x="0" y="14">{escape(chart.title)}</text>\n{"".join(rows)}</svg>{note}</div>\n'
    )


def row(bar: Bar, y: float, top: float) -> str:
    def across(value: float) -> float:
        return NAMES + min(max(value, 0) / top, 1) * (WIDTH - NAMES - NUMBERS)

    name = bar.name if len(bar.name) <= MAX_NAME else f"{bar.name[: MAX_NAME - 1]}…"
    whole = f"<title>{escape(bar.name)}</title>"
    parts = [f'<text x="{NAMES - 8}" y="{y + 15}" text-anchor="end">{escape(name)}{whole}</text>']
    number, end = "–", float(NAMES)
    if bar.value is not None and isfinite(bar.value):
        number, end = f"{bar.value:.1f}", across(bar.value)
        kind = "soft" if bar.soft else "full"
        box = f'x="{NAMES}" y="{y + 4}" width="{end - NAMES:.1f}" height="{ROW - 8}"'
        parts.append(f'<rect class="{kind}" {box} rx="2"/>')
    if bar.low is not None and bar.high is not None:
        middle = y + ROW / 2
        low, end = across(bar.low), max(end, across(bar.high))
        parts.append(f'<path class="whisker" d="M{low:.1f} {middle} H{across(bar.high):.1f}"/>')
    parts.append(f'<text x="{end + 6:.1f}" y="{y + 15}">{number}</text>\n')
    return "".join(parts)
