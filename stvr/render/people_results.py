"""The figures of a head that finds people and what they do as tables, and as a page."""

from __future__ import annotations

from stvr.render.bars import Bar, BarChart
from stvr.render.report import Headline, ReportData
from stvr.render.result_tables import Results
from stvr.render.tables import Cell, Table, in_percent, percent


def people_tables(results: Results) -> list[Table]:
    """AP of each class after every step, the best first, then the mean; then the same beside the probes."""
    steps = list(results["steps"])
    ordered = sorted(results["per_class"].items(), key=lambda item: -last(item[1]["steps"], item[1]["true_boxes"]))
    rows: list[list[Cell]] = [
        [name, str(each["boxes"]), *(percent(each["steps"][step]) for step in steps), percent(each["true_boxes"])]
        for name, each in ordered
    ]
    shown = next(iter(results["probes"]))
    total = str(sum(each["boxes"] for each in results["per_class"].values()))
    rows.append(["mean over classes", total, *(percent(results["steps"][step]) for step in steps),
                 percent(results["probes"][shown])])
    columns = ["class", "boxes", *(f"step {step}" for step in steps), "true boxes"]
    note = "Average precision at IoU 0.5. On true boxes the head's classes alone are judged."
    return [
        Table("AVA frame-mAP by class", columns, rows, note, len(rows) - 1),
        Table("AVA frame-mAP", ["of all", "mAP"],
              [[f"step {step}", percent(value)] for step, value in results["steps"].items()]
              + [[f"probe: {name}", percent(value)] for name, value in results["probes"].items()]),
    ]  # fmt: skip


def people_report(results: Results) -> ReportData:
    """The page of one evaluation."""
    probe, value = list(results["probes"].items())[-1]
    bars = [Bar(name, in_percent(last(each["steps"], each["true_boxes"]))) for name, each in
            results["per_class"].items()]
    return ReportData(
        title="stvr eval",
        summary=f"{results['evaluated']} of split {', '.join(results['split'])}, counted as AVA's official evaluator "
                f"does; metric version {results['metric_version']}. Every figure in percent unless it is a count.",
        headline=None if results["mAP"] is None or value is None
        else Headline("AVA frame-mAP", results["mAP"], value, probe),
        bars=[BarChart("Average precision by class", sorted(bars, key=lambda bar: -(bar.value or 0)), 100)],
        tables=people_tables(results),
        configuration={
            "people": results["people_digest"],
            **{f"store: {name}": each for name, each in results["store_spec"].items()},
            **{f"checkpoint: {name}": each for name, each in results["checkpoint"].items()},
        },
    )  # fmt: skip


def last(steps: Results, otherwise: float | None) -> float:
    """The figure after the last step; of a head without steps the other one."""
    value = list(steps.values())[-1] if steps else otherwise
    return 0.0 if value is None else value
