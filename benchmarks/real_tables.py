"""Figures of real clips as tables with intervals, and as bars."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape

import numpy as np
from real_clips import RealClip
from real_questions import Outcome

DRAWS, MIDDLE = 2000, (0.025, 0.975)
SETS: Mapping[str, Callable[[RealClip], bool]] = {
    "outside Weizmann": lambda clip: clip.kind != "Weizmann", "Weizmann": lambda clip: clip.kind == "Weizmann",
}  # fmt: skip
WIDTH, NAMES, NUMBERS, ROW, TOP = 860, 430, 60, 26, 34  # of a plot, pixels

Rows = Sequence[tuple[str, Sequence[Outcome]]]


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The mean, and the middle 95 % of the means of DRAWS draws of the queries."""
    drawn = np.random.default_rng(0).choice(np.asarray(values), (DRAWS, len(values))).mean(1)
    low, high = np.quantile(drawn, MIDDLE)
    return float(np.mean(values)), float(low), float(high)


def table(rows: Rows) -> str:
    """A line for each row and each of SETS that asks in it; nothing of no rows."""
    if not rows:
        return ""
    names = list(rows[0][1][0].figures)
    lines = [f"| features and head | queries | {' | '.join(names)} |", f"|---|---|{'---|' * len(names)}"]
    for title, outcomes in rows:
        for which, belongs in SETS.items():
            chosen = [each.figures for each in outcomes if belongs(each.clip)]
            if chosen:
                cells = ["{:.2f} ({:.2f} to {:.2f})".format(*interval([each[name] for each in chosen]))
                         for name in names]  # fmt: skip
                lines.append(f"| {title} | {which}, {len(chosen)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def plot(title: str, name: str, rows: Rows) -> str:
    """A figure of each row as a bar with its interval, the part outside Weizmann where there is one: an SVG file."""
    bars = []
    for row, outcomes in rows:
        outside = [each for each in outcomes if SETS["outside Weizmann"](each.clip)]
        bars.append((row, interval([each.figures[name] for each in outside or outcomes])))
    height = TOP + ROW * len(bars) + 8
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
             f'font-size="13"><rect width="{WIDTH}" height="{height}" fill="white"/>'
             f'<text x="8" y="20" font-weight="bold">{escape(title)}</text>']  # fmt: skip
    for index, (row, (mean, low, high)) in enumerate(bars):
        y = TOP + ROW * index
        lines.append(f'<text x="{NAMES - 8}" y="{y + 16}" text-anchor="end">{escape(row)}</text>'
                     f'<rect x="{NAMES}" y="{y + 4}" width="{across(mean):.1f}" height="{ROW - 9}" fill="#5b8db8"/>'
                     f'<path d="M{NAMES + across(low):.1f} {y + 12.5} h{across(high - low):.1f}" stroke="#222" '
                     'stroke-width="1.5"/>'
                     f'<text x="{WIDTH - 8}" y="{y + 16}" text-anchor="end">{mean:.2f}</text>')  # fmt: skip
    return "\n".join([*lines, "</svg>\n"])


def across(share: float) -> float:
    return share * (WIDTH - NAMES - NUMBERS)
