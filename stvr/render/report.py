"""One HTML page that shows what was measured; it needs no other file."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from stvr.files import write_text
from stvr.render.bars import BarChart, bar_chart
from stvr.render.chart import Curve, LineChart, line_chart
from stvr.render.draw import TRUTH, Colour, Picture
from stvr.render.style import STYLE
from stvr.render.tables import Cell, Table, cell_text, percent
from stvr.video.encode import jpeg

STILL_HEIGHT = 360  # pixels at most, so that a page of many stills stays small


@dataclass(frozen=True)
class Headline:
    """The main figure, and the same figure of a probe; both in [0, 1]."""

    name: str  # "frame-mAP at IoU 0.5, unseen actions"
    model: float
    probe: float
    against: str = "shuffled query"


@dataclass(frozen=True)
class Answer:
    """One question and its answer: a still of the query, and stills of the reference in order of time with captions.

    Stills are RGB uint8 (H, W, 3) with the boxes drawn in (`render.video.still`). video: an mp4 beside the page.
    """

    title: str
    query: Picture
    stills: Sequence[tuple[str, Picture]]
    video: str | None = None
    note: str = ""


@dataclass(frozen=True)
class ReportData:
    """All that the page shows. A section without data is left out.

    summary: one sentence on what was done. worst: answers that are shown after the results.
    precision_recall: label -> its curves, recall and precision in [0, 1].
    training: the lines of the training log, each with "step" and numbers ("loss", or a table of them as "losses").
    timings: seconds by stage. configuration: values by name (machine, seed, versions, options).
    """

    title: str
    summary: str
    headline: Headline | None = None
    bars: Sequence[BarChart] = ()
    charts: Sequence[LineChart] = ()
    tables: Sequence[Table] = ()
    worst: Sequence[Answer] = ()
    legend: Mapping[str, Colour] = field(default_factory=dict)  # of the boxes in `worst`
    precision_recall: Mapping[str, Sequence[Curve]] = field(default_factory=dict)
    training: Sequence[Mapping[str, Any]] = ()
    answers: Sequence[Answer] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    configuration: Mapping[str, Any] = field(default_factory=dict)


def write_report(out: Path, data: ReportData) -> Path:
    """Writes the page to `out` (.html): no script, nothing fetched, pictures inside, for light and dark screens."""
    sections = [
        headline_section(data.headline) if data.headline else "",
        section("Answers", [answer_html(each) for each in data.answers]),
        section("At a glance", [bar_chart(each) for each in data.bars], grid="wide"),
        section("Over the dials", [
            line_chart(each.title, each.curves, x_name=each.x_name, y_name=each.y_name, y_range=each.y_range)
            for each in data.charts
        ], grid="grid"),
        section("Results", [table_html(each) for each in data.tables]),
        section("Answered worst", [legend_html(data.legend), *map(answer_html, data.worst)] if data.worst else []),
        section("Precision and recall", precision_recall_html(data.precision_recall), grid="grid"),
        section("Training", training_html(data.training), grid="grid"),
        section("Time", [table_html(timings_table(data.timings))] if data.timings else []),
        section("Configuration", [table_html(configuration_table(data.configuration))] if data.configuration else []),
    ]
    write_text(Path(out), page_html(data.title, data.summary, "".join(sections)))
    return Path(out)


def page_html(title: str, summary: str, body: str) -> str:
    """A whole page in the style of all. body: HTML."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
<p class="summary">{escape(summary)}</p>
{body}
</main>
</body>
</html>
"""


def timings_table(timings: Mapping[str, float]) -> Table:
    rows: list[list[Cell]] = [[name, f"{seconds:,.1f} s"] for name, seconds in timings.items()]
    return Table("", ["stage", "time"], rows)


def configuration_table(configuration: Mapping[str, Any]) -> Table:
    return Table("", ["name", "value"], [[name, str(value)] for name, value in configuration.items()])


def headline_section(headline: Headline) -> str:
    figures = [
        ("model", percent(headline.model), "model"),
        (headline.against, percent(headline.probe), "probe"),
        ("difference", f"{100 * (headline.model - headline.probe):+.1f}", "gain"),
    ]
    cells = [
        f'<div class="{kind}"><b>{escape(cell_text(value))}</b><span>{escape(name)}</span></div>'
        for name, value, kind in figures
    ]
    return f'<section><h2>{escape(headline.name)}</h2><div class="figures">{"".join(cells)}</div></section>\n'


def section(title: str, parts: Sequence[str], grid: str = "") -> str:
    if not parts:
        return ""
    body = "".join(parts)
    body = f'<div class="{grid}">{body}</div>' if grid else body
    return f"<section><h2>{escape(title)}</h2>\n{body}</section>\n"


def table_html(table: Table) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in table.columns)
    rows = []
    for index, row in enumerate(table.rows):
        kind = ' class="sum"' if index == table.emphasis else ""
        first, *rest = (escape(cell_text(cell)) for cell in row)
        cells = "".join(f"<td>{cell}</td>" for cell in rest)
        rows.append(f'<tr{kind}><th scope="row">{first}</th>{cells}</tr>\n')
    title = f"<h3>{escape(table.title)}</h3>" if table.title else ""
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    body = f"<thead><tr>{head}</tr></thead><tbody>\n{''.join(rows)}</tbody>"
    return f'<article>{title}<div class="scroll"><table>{body}</table></div>{note}</article>\n'


def answer_html(answer: Answer) -> str:
    stills = "".join(figure(picture, caption) for caption, picture in answer.stills)
    video = ""
    if answer.video:
        name = escape(answer.video, quote=True)
        video = f'<video controls muted loop preload="metadata" src="{name}"><a href="{name}">{name}</a></video>'
    note = f'<p class="note">{escape(answer.note)}</p>' if answer.note else ""
    return (
        f"<article><h3>{escape(answer.title)}</h3>"
        f'<div class="answer">{figure(answer.query, "query", "query")}<div class="strip">{stills}</div></div>'
        f"{video}{note}</article>\n"
    )


def legend_html(keys: Mapping[str, Colour]) -> str:
    """What the colours of boxes mean; true boxes are dashed, as `draw_box` draws them."""
    words = []
    for name, colour in keys.items():
        line = f"2px {'dashed' if colour == TRUTH else 'solid'} rgb{colour}"
        words.append(f'<span><i style="border: {line}"></i>{escape(name)}</span>')
    return f'<p class="legend">{"".join(words)}</p>\n'


def figure(picture: Picture, caption: str, kind: str = "") -> str:
    source = f"data:image/jpeg;base64,{base64.b64encode(jpeg(picture, STILL_HEIGHT)).decode()}"
    words = escape(caption, quote=True)
    return f'<figure class="{kind}"><img src="{source}" alt="{words}"><figcaption>{words}</figcaption></figure>'


def precision_recall_html(by_label: Mapping[str, Sequence[Curve]]) -> list[str]:
    return [
        line_chart(label, curves, x_name="recall", y_name="precision", x_range=(0, 1), y_range=(0, 1))
        for label, curves in by_label.items()
    ]


def training_html(log: Sequence[Mapping[str, Any]]) -> list[str]:
    """A chart for the loss, and one for each of its terms."""
    return [line_chart(curve.name, [curve], x_name="step", y_name="") for curve in training_curves(log)]


def training_curves(log: Sequence[Mapping[str, Any]]) -> list[Curve]:
    """The "loss" of each line of the log over its "step", then each of the terms in "losses"."""
    points: dict[str, list[tuple[float, float]]] = {}
    for line in log:
        for name, value in {"loss": line.get("loss"), **line.get("losses", {})}.items():
            if value is not None:
                points.setdefault(name, []).append((line["step"], value))
    return [Curve(name, *zip(*pairs, strict=True)) for name, pairs in points.items()]
