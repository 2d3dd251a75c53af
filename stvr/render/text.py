"""The figures of eval.json as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stvr.render.class_results import class_tables
from stvr.render.people_results import people_tables
from stvr.render.result_tables import AT, Results, frame_map_table, interval_note, probe_table
from stvr.render.tables import Table, cell_text, percent
from stvr.world.dials import UNITS

MAX_NAME = 31  # characters of a name that are shown
DASH = "-"  # every terminal can show it
TABLES = {"labels": class_tables, "people": people_tables}  # of tasks whose figures are tables and no more


def text_table(results: Results) -> str:
    """All figures of an evaluation in percent, as its task has them."""
    tables = TABLES.get(results.get("task", ""))
    if tables is None:
        return pairs_text(results)
    lines = [line for table in tables(results) for line in table_lines(table)]
    return "\n".join([*lines, results["evaluated"]])


def pairs_text(results: Results) -> str:
    """frame-mAP by label, beside its probes, then a line for each other figure."""
    labels, probes = frame_map_table(results, narrow=True), probe_table(results)
    lines = [*table_lines(labels), *table_lines(probes), interval_note(results)]
    if not results["shuffled_query"]:
        lines.append("(no shuffled-query probe: all pairs have one label)")
    return "\n".join([*lines, *figure_lines(results), results["evaluated"]])


def table_lines(table: Table) -> list[str]:
    """The names of the columns, then the rows: text on the left, numbers on the right."""
    rows = [list(table.columns), *([cell_text(cell, DASH) for cell in row] for row in table.rows)]
    widths = [MAX_NAME, *(max(map(len, column)) for column in list(zip(*rows, strict=True))[1:])]
    return ["  ".join([shortened(row[0]).ljust(widths[0]),
                       *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]) for row in rows]


def shortened(name: str) -> str:
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 3]}..."


def figure_lines(results: Results) -> list[str]:
    """A line each: proposal recall, tubelets by linker, errors, dials, graded labels."""
    lines = [recall_line(results["proposal_recall"])]
    if results["video_map"]:
        lines.append(linker_line(results["video_map"]["linkers"]))
    if results["errors"]:
        lines.append(error_line(results["errors"]))
    for name, bins in (results.get("by_dial") or {}).items():
        figures = ", ".join(f"{figure(row['mAP'])} at {row['mean']:.2g} ({row['pairs']})" for row in bins)
        lines.append(f"frame-mAP at IoU {AT} over {name} in {UNITS[name]} (pairs): {figures}")
    if results["ndcg"]:
        lines.append(f"nDCG with graded labels: {figure(results['ndcg']['mean'])}")
    return lines


def recall_line(recall: Mapping[str, Mapping[str, float | None]]) -> str:
    by_number = ", ".join(f"{k}: {figures(values.values())}" for k, values in recall.items())
    return f"proposal recall at IoU {thresholds(recall)}, of the first {by_number}"


def linker_line(linkers: Mapping[str, Mapping[str, float | None]]) -> str:
    by_name = "; ".join(f"{name} {figures(values.values())}" for name, values in linkers.items())
    return f"video-mAP at tube IoU {thresholds(linkers)}, by linker: {by_name}"


def error_line(errors: Mapping[str, Any]) -> str:
    missed = {kind: count for kind, count in errors["true_boxes"].items() if kind != "found"}
    return "errors: " + ", ".join(f"{kind} {count}" for kind, count in {**errors["detections"], **missed}.items())


def thresholds(rows: Mapping[str, Mapping[str, float | None]]) -> str:
    return " / ".join(next(iter(rows.values())))


def figures(values: Iterable[float | None]) -> str:
    return " / ".join(map(figure, values))


def figure(value: float | None) -> str:
    return percent(value) or DASH
