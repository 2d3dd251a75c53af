"""Means over seeds with their 95 % intervals: as text, and as curves in an SVG file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import floor, log10, sqrt
from statistics import mean, stdev

from scipy.stats import t as student

COLOURS = ("#222222", "#e08214", "#5b8db8", "#7b9e3c", "#c0392b", "#8e5bb8", "#3aa6a0", "#a07850")
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM, ROW = 640, 360, 52, 190, 34, 44, 18


@dataclass(frozen=True, slots=True)
class Mean:
    """half: of the 95 % interval of the mean, Student's; 0 of a single value."""

    value: float
    half: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Mean:
        count = len(values)
        if count < 2:
            return cls(mean(values) if values else float("nan"), 0.0, count)
        return cls(mean(values), float(student.ppf(0.975, count - 1)) * stdev(values) / sqrt(count), count)

    def __str__(self) -> str:
        return f"{self.value:.1f} ± {self.half:.1f}" if self.count > 1 else f"{self.value:.1f}"


Curves = Mapping[str, Sequence[tuple[float, Mean]]]  # by name: (x, mean of y)


def curves_svg(title: str, x_name: str, y_name: str, curves: Curves) -> str:
    """One line for each name, with its intervals as upright bars, a little apart so that they can be told."""
    points = [(x, each) for line in curves.values() for x, each in line]
    high_x = max((x for x, _ in points), default=1.0) or 1.0
    high_y = max((each.value + each.half for _, each in points), default=1.0) * 1.05 or 1.0
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
             f'font-size="12"><rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
             f'<text x="8" y="20" font-weight="bold" font-size="14">{escape(title)}</text>']  # fmt: skip

    def place(x: float, y: float) -> tuple[float, float]:
        return (LEFT + (WIDTH - LEFT - RIGHT) * x / high_x,
                HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * max(0.0, y) / high_y)

    for y in ticks(high_y):
        up = place(0, y)[1]
        parts.append(f'<path d="M{LEFT} {up:.1f}H{WIDTH - RIGHT}" stroke="#dddddd"/>'
                     f'<text x="{LEFT - 6}" y="{up + 4:.1f}" text-anchor="end">{y:g}</text>')
    parts.extend(f'<text x="{place(x, 0)[0]:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{x:g}</text>'
                 for x in ticks(high_x))  # fmt: skip
    for number, (name, line) in enumerate(curves.items()):
        colour, apart = COLOURS[number % len(COLOURS)], 2.5 * (number - len(curves) / 2)
        places = [(place(x, each.value), place(x, each.value - each.half), place(x, each.value + each.half))
                  for x, each in line]  # fmt: skip
        path = "L".join(f"{x + apart:.1f} {y:.1f}" for (x, y), _, _ in places)
        bars = "".join(f"M{x + apart:.1f} {low:.1f}V{high:.1f}" for (x, _), (_, low), (_, high) in places)
        up = TOP + 8 + ROW * number
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
                     f'<path d="{bars}" stroke="{colour}" opacity="0.5"/>'
                     f'<path d="M{WIDTH - RIGHT + 14} {up - 4}h18" stroke="{colour}" stroke-width="3"/>'
                     f'<text x="{WIDTH - RIGHT + 38}" y="{up}">{escape(name)}</text>')  # fmt: skip
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x_name)}</text>'
                 f'<text x="14" y="{HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 14 {HEIGHT / 2})">'
                 f"{escape(y_name)}</text></svg>\n")
    return "\n".join(parts)


def ticks(high: float) -> list[float]:
    """Round numbers from 0 to no more than high, some three to seven."""
    power = 10 ** floor(log10(high / 3))
    step = next(each * power for each in (5, 2, 1) if 3 * each * power <= high)
    return [round(place * step, 6) for place in range(int(high / step + 1e-9) + 1)]
