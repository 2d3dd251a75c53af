"""The page of `stvr eval`: eval.json in, ReportData out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stvr.labels import label_name
from stvr.render.bars import Bar, BarChart
from stvr.render.chart import Curve, LineChart
from stvr.render.class_results import class_report
from stvr.render.people_results import people_report
from stvr.render.report import Answer, Headline, ReportData
from stvr.render.result_tables import (
    AT,
    Results,
    dial_table,
    frame_map_table,
    interval_note,
    linker_table,
    probe_table,
    recall_table,
    worst_table,
)
from stvr.render.tables import Table, in_percent, percent
from stvr.render.worst import LEGEND
from stvr.world.dials import UNITS

PAGES = {"labels": class_report, "people": people_report}


def evaluation_report(results: Results, worst: Sequence[Answer] = ()) -> ReportData:
    """The page of one evaluation; what was not measured is left out. worst: see `worst_answers`."""
    page = PAGES.get(results.get("task", ""))
    if page is not None:
        return page(results)
    return ReportData(
        title="stvr eval",
        summary=f"{results['evaluated']} of split {', '.join(results['split'])}; metric version "
                f"{results['metric_version']}. Every figure in percent unless it is a count.",
        headline=headline(results, f"frame-mAP at IoU {AT}"),
        bars=bar_charts(results),
        charts=[dial_chart(name, rows) for name, rows in (results.get("by_dial") or {}).items()],
        tables=tables(results),
        worst=worst,
        legend=LEGEND,
        precision_recall=precision_recall(results),
        configuration=configuration(results),
    )  # fmt: skip


def headline(results: Results, name: str) -> Headline | None:
    """frame-mAP at IoU 0.5 beside the shuffled query; None where either is missing."""
    mean, probe = results["frame_map"]["mean"][AT], results["shuffled_query"]
    against = probe["mean"][AT] if probe else None
    return None if mean is None or against is None else Headline(name, mean, against)


def precision_recall(results: Results) -> dict[str, list[Curve]]:
    """The curve of each label at IoU 0.5."""
    return {
        label_name(label, results["labels"]): [Curve("model", curve["recall"], curve["precision"])]
        for label, curve in results["curves"].items()
    }


def tables(results: Results) -> list[Table]:
    videos = results["video_map"]
    return [
        frame_map_table(results), probe_table(results), recall_table(results["proposal_recall"]),
        *([dial_table(results["by_dial"])] if results.get("by_dial") else []),
        *([linker_table(videos)] if videos else []),
        *([worst_table(results)] if results["worst"] else []),
    ]  # fmt: skip


def bar_charts(results: Results) -> list[BarChart]:
    videos, errors = results["video_map"], results["errors"]
    return [
        label_bars(results),
        probe_bars(results),
        *([linker_bars(videos)] if videos else []),
        *(error_bars(errors) if errors else []),
        *([length_bars(results["by_length"])] if results["by_length"] else []),
    ]


def label_bars(results: Results) -> BarChart:
    intervals = results["intervals"]["per_label"]
    bars = [
        Bar(label_name(label, results["labels"]), in_percent(values[AT]), *bounds(intervals.get(label)))
        for label, values in results["frame_map"]["per_label"].items()
    ]
    ranked = sorted(bars, key=lambda bar: -(bar.value if bar.value is not None else -1))
    return BarChart(f"AP at IoU {AT} by label", ranked, 100, interval_note(results))


def probe_bars(results: Results) -> BarChart:
    intervals, probe = results["intervals"], results["shuffled_query"]
    bars = [Bar("model", in_percent(results["frame_map"]["mean"][AT]), *bounds(intervals["model"]))]
    if probe:
        interval = bounds(intervals["shuffled query"])
        bars.append(Bar("shuffled query", in_percent(probe["mean"][AT]), *interval, soft=True))
    bars += [Bar(name, in_percent(values[AT]), *bounds(intervals.get(name)), soft=True)
             for name, values in results["audit"].items()]
    return BarChart(f"frame-mAP at IoU {AT} beside its probes", bars, 100, interval_note(results))


def linker_bars(videos: Results) -> BarChart:
    bars = [Bar(name, in_percent(values[AT]), soft=name.startswith("oracle"))
            for name, values in videos["linkers"].items()]
    return BarChart(f"video-mAP at tube IoU {AT} by linker", bars, 100,
                    "The oracle links the same detections but knows who is who; in time: and when each action ends.")


def error_bars(errors: Results) -> list[BarChart]:
    """Shares of the detections that count, and of the true boxes."""
    return [
        BarChart("What the best detections are", shares(errors["detections"]), 100,
                 "In percent of the best detections: for each label, as many as it has true boxes."),
        BarChart("What became of the true boxes", shares(errors["true_boxes"]), 100, "In percent of the true boxes."),
    ]  # fmt: skip


def shares(counts: Mapping[str, int]) -> list[Bar]:
    total = max(sum(counts.values()), 1)
    return [Bar(kind, in_percent(count / total), soft=kind not in ("right", "found")) for kind, count in counts.items()]


def length_bars(rows: Sequence[Results]) -> BarChart:
    bars = [Bar(f"{length(row)}, {row['pairs']} pairs", in_percent(row["mAP"])) for row in rows]
    return BarChart(f"frame-mAP at IoU {AT} by length of the reference", bars, 100)


def length(row: Results) -> str:
    if row["to_seconds"] is None:
        return f"over {row['from_seconds']} s"
    return f"{row['from_seconds']:g} to {row['to_seconds']:g} s"


def dial_chart(name: str, rows: Sequence[Results]) -> LineChart:
    """A point for each bin, at the mean of its pairs."""
    curves = []
    for title, key in (("model", "mAP"), ("shuffled query", "shuffled_query")):
        known = [row for row in rows if row[key] is not None]
        curves.append(Curve(title, [row["mean"] for row in known], [100 * row[key] for row in known]))
    return LineChart(f"frame-mAP over {name}", curves, f"{name}, {UNITS[name]}", f"frame-mAP at {AT}", (0.0, 100.0))


def configuration(results: Results) -> dict[str, Any]:
    graded = results["ndcg"]
    gain = f"{percent(graded['mean'])} over {graded['pairs']} pairs, gain: {graded['gain']}" if graded else "–"
    return {
        "nDCG with graded labels": gain,
        "pairs": results["pairs_digest"],
        **{f"store: {name}": value for name, value in results["store_spec"].items()},
        **{f"checkpoint: {name}": value for name, value in results["checkpoint"].items()},
    }  # fmt: skip


def bounds(interval: Sequence[float | None] | None) -> tuple[float | None, float | None]:
    """The ends of an interval in percent; None where there are none."""
    return (None, None) if interval is None else (in_percent(interval[0]), in_percent(interval[1]))
