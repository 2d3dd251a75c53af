"""What `stvr eval` measured, as the report page shows it: eval.json in, ReportData out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stvr.render.bars import Bar, BarChart
from stvr.render.chart import Curve, LineChart
from stvr.render.report import Answer, Cell, Headline, ReportData, Table, percent
from stvr.render.worst import LEGEND
from stvr.world.dials import UNITS

AT = "0.5"  # the IoU of the bars

Results = Mapping[str, Any]


def evaluation_report(results: Results, worst: Sequence[Answer] = ()) -> ReportData:
    """The page of one evaluation; what was not measured is left out. worst: see `worst_answers`."""
    mean, probe = results["frame_map"]["mean"][AT], results["shuffled_query"]
    against = probe["mean"][AT] if probe else None
    videos, errors = results["video_map"], results["errors"]
    return ReportData(
        title="stvr eval",
        summary=f"{results['evaluated']} of split {', '.join(results['split'])}; metric version "
                f"{results['metric_version']}. Every figure in percent unless it is a count.",
        headline=None if mean is None or against is None else Headline(f"frame-mAP at IoU {AT}", mean, against),
        bars=[
            label_bars(results),
            probe_bars(results),
            *([linker_bars(videos)] if videos else []),
            *(error_bars(errors) if errors else []),
            *([length_bars(results["by_length"])] if results["by_length"] else []),
        ],
        charts=[dial_chart(name, rows) for name, rows in (results.get("by_dial") or {}).items()],
        tables=[
            label_table(results), probe_table(results), recall_table(results["proposal_recall"]),
            *([dial_table(results["by_dial"])] if results.get("by_dial") else []),
            *([linker_table(videos)] if videos else []), *([worst_table(results)] if results["worst"] else []),
        ],
        worst=worst,
        legend=LEGEND,
        precision_recall={
            title_of(label, results): [Curve("model", curve["recall"], curve["precision"])]
            for label, curve in results["curves"].items()
        },
        configuration=configuration(results),
    )  # fmt: skip


def label_bars(results: Results) -> BarChart:
    sure = results["intervals"]["per_label"]
    bars = [
        Bar(title_of(label, results), share(values[AT]), *bounds(sure.get(label)))
        for label, values in results["frame_map"]["per_label"].items()
    ]
    ranked = sorted(bars, key=lambda bar: -(bar.value if bar.value is not None else -1))
    return BarChart(f"AP at IoU {AT} by label", ranked, 100, interval_note(results))


def probe_bars(results: Results) -> BarChart:
    sure = results["intervals"]
    bars = [Bar("model", share(results["frame_map"]["mean"][AT]), *bounds(sure["model"]))]
    if results["shuffled_query"]:
        value = share(results["shuffled_query"]["mean"][AT])
        bars.append(Bar("shuffled query", value, *bounds(sure["shuffled query"]), soft=True))
    bars += [Bar(name, share(values[AT]), *bounds(sure.get(name)), soft=True)
             for name, values in results["audit"].items()]
    return BarChart(f"frame-mAP at IoU {AT} beside its probes", bars, 100,
                    interval_note(results))


def linker_bars(videos: Results) -> BarChart:
    bars = [Bar(name, share(values[AT]), soft=name.startswith("oracle")) for name, values in videos["linkers"].items()]
    return BarChart(f"video-mAP at tube IoU {AT} by linker", bars, 100,
                    "The oracle links the same detections by who is who; in time: it also knows when each action ends.")


def error_bars(errors: Results) -> list[BarChart]:
    """Shares of the detections that count and of the true boxes."""
    return [
        BarChart("What the best detections are", shares(errors["detections"]), 100,
                 "Of each label as many detections as it has true boxes, best first; in percent of them."),
        BarChart("What became of the true boxes", shares(errors["true_boxes"]), 100, "In percent of them."),
    ]  # fmt: skip


def shares(counts: Mapping[str, int]) -> list[Bar]:
    total = max(sum(counts.values()), 1)
    return [Bar(kind, share(count / total), soft=kind not in ("right", "found")) for kind, count in counts.items()]


def length_bars(rows: Sequence[Results]) -> BarChart:
    bars = [Bar(f"{length(row)}, {row['pairs']} pairs", share(row["mAP"])) for row in rows]
    return BarChart(f"frame-mAP at IoU {AT} by length of the reference", bars, 100)


def length(row: Results) -> str:
    return f"over {row['from_seconds']} s" if row["to_seconds"] is None else \
        f"{row['from_seconds']:g} to {row['to_seconds']:g} s"


def dial_chart(name: str, rows: Sequence[Results]) -> LineChart:
    """A point a bin, at the mean of its pairs."""
    curves = []
    for title, key in (("model", "mAP"), ("shuffled query", "shuffled_query")):
        known = [row for row in rows if row[key] is not None]
        curves.append(Curve(title, [row["mean"] for row in known], [100 * row[key] for row in known]))
    return LineChart(f"frame-mAP over {name}", curves, f"{name}, {UNITS[name]}", f"frame-mAP at {AT}", (0.0, 100.0))


def dial_table(dials: Mapping[str, Sequence[Results]]) -> Table:
    rows: list[list[Cell]] = [
        [f"{name}, {UNITS[name]}", bin_of(row), percent(row["mAP"]), percent(row["shuffled_query"]), row["pairs"]]
        for name, some in dials.items() for row in some
    ]  # fmt: skip
    return Table("Frame-mAP over the dials of the world", ["dial", "from, to", f"IoU {AT}", "shuffled query", "pairs"],
                 rows, "Speed and occlusion are measured, of the video that is searched. The labels differ from bin to "
                       "bin.")


def bin_of(row: Results) -> str:
    return f"{row['from']:.3g} or more" if row["to"] is None else f"{row['from']:.3g} to {row['to']:.3g}"


def label_table(results: Results) -> Table:
    """A row a label with its support, the mean last."""
    table, probe, sure = results["frame_map"], results["shuffled_query"], results["intervals"]
    thresholds = list(table["mean"])
    rows: list[list[Cell]] = [
        [title_of(label, results), *(percent(values[t]) for t in thresholds), spread(sure["per_label"].get(label)),
         percent(probe["per_label"][label][AT]) if probe else None, table["pairs"][label], table["boxes"][label]]
        for label, values in table["per_label"].items()
    ]  # fmt: skip
    rows.append([
        "mean over labels", *(percent(table["mean"][t]) for t in thresholds), spread(sure["model"]),
        percent(probe["mean"][AT]) if probe else None, sum(table["pairs"].values()), sum(table["boxes"].values()),
    ])  # fmt: skip
    columns = ["label", *(f"IoU {t}" for t in thresholds), f"interval at {AT}", f"shuffled query, {AT}", "pairs",
               "true boxes"]
    strict = percent(table["mean_50_95"])
    note = f"Counted per clip. Mean over IoU .5:.95: {'–' if strict is None else strict}. {interval_note(results)}"
    return Table("Frame-mAP by label", columns, rows, note, len(rows) - 1)


def probe_table(results: Results) -> Table:
    table, probe, sure = results["frame_map"], results["shuffled_query"], results["intervals"]
    thresholds = list(table["mean"])
    every = {"model": table["mean"], **({"shuffled query": probe["mean"]} if probe else {}), **results["audit"]}
    rows: list[list[Cell]] = [
        [name, *(percent(values[t]) for t in thresholds), spread(sure.get(name))] for name, values in every.items()
    ]
    gain = sure["owed to the query"]
    note = "" if gain is None else f"Owed to the query at IoU {AT}, drawn together: {spread(gain)}."
    return Table("The model beside its probes", ["", *(f"IoU {t}" for t in thresholds), f"interval at {AT}"], rows,
                 f"What a probe reaches without the query is no merit of the model. {note}", 0)


def recall_table(recall: Results) -> Table:
    thresholds = list(next(iter(recall.values())))
    rows: list[list[Cell]] = [[f"first {k}", *(percent(row[t]) for t in thresholds)] for k, row in recall.items()]
    return Table("Proposal recall", ["proposals", *(f"IoU {t}" for t in thresholds)], rows,
                 "True boxes that a proposal of their clip reaches; nothing is matched yet.")


def linker_table(videos: Results) -> Table:
    """video-mAP of each linker, and what it leaves to the oracle."""
    columns = list(next(iter(videos["linkers"].values())))
    gaps = list(next(iter(videos["gap_to_oracle"].values())))
    rows: list[list[Cell]] = [
        [name, *(percent(values[t]) for t in columns),
         *(percent(videos["gap_to_oracle"].get(name, {}).get(t)) for t in gaps), videos["tubelets"][name]]
        for name, values in videos["linkers"].items()
    ]  # fmt: skip
    names = ["linker", *(f"tube IoU {t}" for t in columns), *(f"below the oracle, {t}" for t in gaps), "tubelets"]
    measure, area = (videos[name].replace("_", " ") for name in ("tube_iou", "area"))
    note = (f"Tube IoU: {measure}; area: {area}; tubelets of at least {videos['min_seconds']:.2g} s, gaps of at most "
            f"{videos['max_gap_seconds']:.2g} s filled; "
            f"{videos['tubelets']['true']} true tubelets.")
    return Table("video-mAP by linker", names, rows, note)


def worst_table(results: Results) -> Table:
    rows: list[list[Cell]] = [
        [title_of(each["label"], results), place(each["query"]), place(each["reference"]),
         percent(each["average_precision"])]
        for each in results["worst"]
    ]  # fmt: skip
    return Table("Answered worst", ["label", "query, clips", "reference, clips", f"AP at IoU {AT}"], rows)


def place(span: Results) -> str:
    return f"{span['video']} {span['start']} to {span['stop']}"


def configuration(results: Results) -> dict[str, Any]:
    graded = results["ndcg"]
    worth = f"{percent(graded['mean'])} over {graded['pairs']} pairs, gain: {graded['gain']}" if graded else "–"
    return {
        "nDCG with graded labels": worth,
        "pairs": results["pairs_digest"],
        **{f"store: {name}": value for name, value in results["store_spec"].items()},
        **{f"checkpoint: {name}": value for name, value in results["checkpoint"].items()},
    }  # fmt: skip


def title_of(label: str, results: Results) -> str:
    return " + ".join(results["labels"].get(part, part) for part in label.split(","))


def interval_note(results: Results) -> str:
    sure = results["intervals"]
    return f"Interval: the middle {100 * sure['level']:g} % of {sure['draws']} draws of the pairs."


def share(value: float | None) -> float | None:
    """A bar's length, in percent."""
    return None if value is None else 100 * value


def bounds(interval: Sequence[float | None] | None) -> tuple[float | None, float | None]:
    return (None, None) if interval is None else (share(interval[0]), share(interval[1]))


def spread(interval: Sequence[float | None] | None) -> str | None:
    low, high = bounds(interval)
    return None if low is None or high is None else f"{low:.1f} to {high:.1f}"
