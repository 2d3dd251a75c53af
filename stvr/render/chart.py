"""Line charts as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import floor, isfinite, log10

WIDTH, HEIGHT = 300, 220
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 24, 34  # space for the names around the plot
NUM_COLOURS = 6  # in the style sheet, .c0 to .c5; the second is dashed, for a probe
MAX_POINTS = 400  # of one line; nobody sees more at this width

Limits = tuple[float, float]


@dataclass(frozen=True)
class Curve:
    """A line with a name; points that are not finite are left out."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class LineChart:
    """Curves of one chart and what its axes show; without a range the y axis fits the points."""

    title: str
    curves: Sequence[Curve]
    x_name: str
    y_name: str
    y_range: Limits | None = None


def line_chart(
    title: str, curves: Sequence[Curve], *, x_name: str, y_name: str,
    x_range: Limits | None = None, y_range: Limits | None = None,
) -> str:  # fmt: skip
    """A small chart, coloured by the page's style sheet. Without a range an axis fits the points, see `limits`."""
    lines = [thinned(curve) for curve in curves]
    x_range = x_range or limits([x for line in lines for x, _ in line])
    y_range = y_range or limits([y for line in lines for _, y in line])

    def place(x: float, y: float) -> tuple[float, float]:
        across, up = (x - x_range[0]) / (x_range[1] - x_range[0]), (y - y_range[0]) / (y_range[1] - y_range[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = [f'<text class="name" x="{LEFT}" y="14">{escape(title)}</text>']
    for value in ticks(*y_range):
        _, y = place(x_range[0], value)
        parts.append(f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    for value in ticks(*x_range):
        x, _ = place(value, y_range[0])
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{value:g}</text>')
    for index, line in enumerate(lines):
        if line:
            points = " L".join("{:.1f} {:.1f}".format(*place(x, y)) for x, y in line)
            parts.append(f'<path class="c{index % NUM_COLOURS}" d="M{points}"/>')
    names = f"{y_name} over {x_name}" if y_name else x_name
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 3}" text-anchor="middle">{escape(names)}</text>')
    if len(curves) > 1:
        parts += legend([curve.name for curve in curves])
    label = escape(f"{title}: {names}", quote=True)
    body = "\n".join(parts)
    view = f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}"'
    return f'<div class="chart"><svg {view}>{body}</svg></div>\n'


def legend(names: Sequence[str]) -> list[str]:
    parts = []
    for index, name in enumerate(names):
        y = TOP + 12 + 15 * index
        parts.append(f'<path class="c{index % NUM_COLOURS}" d="M{WIDTH - RIGHT - 24} {y - 4} h20"/>')
        parts.append(f'<text x="{WIDTH - RIGHT - 30}" y="{y}" text-anchor="end">{escape(name)}</text>')
    return parts


def thinned(curve: Curve) -> list[tuple[float, float]]:
    """At most MAX_POINTS of the curve's finite points, the first and the last among them."""
    points = [(float(x), float(y)) for x, y in zip(curve.x, curve.y, strict=True) if isfinite(x) and isfinite(y)]
    if len(points) <= MAX_POINTS:
        return points
    return [points[round(i * (len(points) - 1) / (MAX_POINTS - 1))] for i in range(MAX_POINTS)]


def limits(values: Sequence[float]) -> Limits:
    """A range, never empty, that holds all values; it begins at 0 if the values begin below half of the largest."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    low = 0.0 if 0 < low < high / 2 else low
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers in [low, high]."""
    power = 10.0 ** floor(log10((high - low) / 2))
    step = next(m * power for m in (5, 2, 1, 0.5) if (high - low) / (m * power) >= 2)
    first = -floor(-low / step + 1e-9)
    return [round(i * step, 12) for i in range(first, floor(high / step + 1e-9) + 1)]
