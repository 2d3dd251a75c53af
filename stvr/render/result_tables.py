"""The figures of eval.json as tables, for the terminal and the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stvr.labels import label_name
from stvr.render.tables import Cell, Table, difference, percent, percents, spread
from stvr.world.dials import UNITS

AT = "0.5"  # the IoU where one is shown for many

Results = Mapping[str, Any]  # eval.json


def frame_map_table(results: Results, *, narrow: bool = False) -> Table:
    """AP in percent: a row for each label with its support, the mean last.

    narrow: without the interval and the shuffled query at IoU 0.5, which `probe_table` gives for the mean.
    """
    table, beside = results["frame_map"], {} if narrow else columns_beside(results)
    rows: list[list[Cell]] = [
        [label_name(label, results["labels"]), *percents(values.values()),
         *(column[label] for column in beside.values()), table["pairs"][label], table["boxes"][label]]
        for label, values in table["per_label"].items()
    ]  # fmt: skip
    rows.append([
        "mean over labels", *percents(table["mean"].values()), *(column[None] for column in beside.values()),
        sum(table["pairs"].values()), sum(table["boxes"].values()),
    ])  # fmt: skip
    columns = ["label", *(f"IoU {t}" for t in table["mean"]), *beside, "pairs", "true boxes"]
    note = f"Counted per clip. Mean over IoU .5:.95: {percent(table['mean_50_95']) or '–'}. {interval_note(results)}"
    return Table("Frame-mAP by label", columns, rows, note.strip(), len(rows) - 1)


def columns_beside(results: Results) -> dict[str, dict[str | None, Cell]]:
    """The interval of each AP at IoU 0.5 and the AP with a shuffled query, by column and label; None: of the mean."""
    probe, intervals = results["shuffled_query"], results["intervals"]
    columns: dict[str, dict[str | None, Cell]] = {}
    if intervals:
        by_label = {label: spread(intervals["per_label"].get(label)) for label in results["frame_map"]["per_label"]}
        columns[f"interval at {AT}"] = {**by_label, None: spread(intervals["model"])}
    if probe:
        by_label = {label: percent(values[AT]) for label, values in probe["per_label"].items()}
        columns[f"shuffled query, {AT}"] = {**by_label, None: percent(probe["mean"][AT])}
    return columns


def probe_table(results: Results) -> Table:
    """frame-mAP of the model, with a shuffled query, their difference, and the rankings of an audit."""
    mean, probe, intervals = results["frame_map"]["mean"], results["shuffled_query"], results["intervals"] or {}
    rows = {"model": (mean, "model")}  # figures, and the name of their interval
    if probe:
        gain = {threshold: difference(mean[threshold], value) for threshold, value in probe["mean"].items()}
        rows["with a shuffled query"] = probe["mean"], "shuffled query"
        rows["owed to the query"] = gain, "owed to the query"
    rows |= {name: (values, name) for name, values in results["audit"].items()}
    return Table(
        "The model beside its probes", ["", *(f"IoU {t}" for t in mean), f"interval at {AT}"],
        [[name, *percents(values.values()), spread(intervals.get(key))] for name, (values, key) in rows.items()],
        "What a probe reaches without the query is no merit of the model.", 0,
    )  # fmt: skip


def recall_table(recall: Mapping[Any, Mapping[Any, float | None]]) -> Table:
    """A row for each number of proposals: recall in percent at each threshold."""
    thresholds = next(iter(recall.values()))
    rows = [[f"first {k}", *percents(values.values())] for k, values in recall.items()]
    return Table("Proposal recall", ["proposals", *(f"IoU {t}" for t in thresholds)], rows,
                 "Share of true boxes that a proposal of their clip reaches, in percent; nothing is matched yet.")


def dial_table(dials: Mapping[str, Sequence[Results]]) -> Table:
    rows: list[list[Cell]] = [
        [f"{name}, {UNITS[name]}", bin_name(row), percent(row["mAP"]), percent(row["shuffled_query"]), row["pairs"]]
        for name, bins in dials.items() for row in bins
    ]  # fmt: skip
    return Table("Frame-mAP over the dials of the world", ["dial", "from, to", f"IoU {AT}", "shuffled query", "pairs"],
                 rows, "Speed and occlusion were measured in the video that is searched. Bins differ in their labels.")


def bin_name(row: Results) -> str:
    return f"{row['from']:.3g} or more" if row["to"] is None else f"{row['from']:.3g} to {row['to']:.3g}"


def linker_table(videos: Results) -> Table:
    """video-mAP of each linker, and how far it stays below the oracle."""
    columns = list(next(iter(videos["linkers"].values())))
    gaps = list(next(iter(videos["gap_to_oracle"].values())))
    rows: list[list[Cell]] = [
        [name, *percents(values.values()), *percents(videos["gap_to_oracle"].get(name, {}).get(t) for t in gaps),
         videos["tubelets"][name]]
        for name, values in videos["linkers"].items()
    ]  # fmt: skip
    names = ["linker", *(f"tube IoU {t}" for t in columns), *(f"below the oracle, {t}" for t in gaps), "tubelets"]
    measure, area = (videos[name].replace("_", " ") for name in ("tube_iou", "area"))
    note = (f"Tube IoU: {measure}; area: {area}; tubelets last at least {videos['min_seconds']:.2g} s, gaps of up to "
            f"{videos['max_gap_seconds']:.2g} s are filled; {videos['tubelets']['true']} true tubelets.")
    return Table("video-mAP by linker", names, rows, note)


def worst_table(results: Results) -> Table:
    rows: list[list[Cell]] = [
        [label_name(each["label"], results["labels"]), span_text(each["query"]), span_text(each["reference"]),
         percent(each["average_precision"])]
        for each in results["worst"]
    ]  # fmt: skip
    return Table("Answered worst", ["label", "query, clips", "reference, clips", f"AP at IoU {AT}"], rows)


def span_text(span: Results) -> str:
    return f"{span['video']} {span['start']} to {span['stop']}"


def interval_note(results: Results) -> str:
    """What the intervals are; empty where there are none."""
    intervals = results["intervals"]
    if not intervals:
        return ""
    return f"Interval: the middle {100 * intervals['level']:g} % of {intervals['draws']} draws of the pairs."
