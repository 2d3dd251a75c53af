"""The figures of a classifier as tables, and as a page."""

from __future__ import annotations

from stvr.render.bars import Bar, BarChart
from stvr.render.report import Headline, ReportData
from stvr.render.result_tables import Results
from stvr.render.tables import Table, in_percent


def class_tables(results: Results) -> list[Table]:
    """Accuracy by class, the best first; then of all."""
    by_class = sorted(results["per_class"].items(), key=lambda item: -item[1]["accuracy"])
    return [
        Table("Accuracy by class", ["class", "stretches", "accuracy"],
              [[name, str(each["support"]), in_percent(each["accuracy"])] for name, each in by_class]),
        Table("Accuracy", ["of all", "accuracy"],
              [[f"top-{k}", in_percent(value)] for k, value in results["top_k"].items()]
              + [["mean over the classes", in_percent(results["mean_class_accuracy"])]]
              + [[f"probe: {name}", in_percent(value)] for name, value in results["probes"].items()]),
    ]  # fmt: skip


def class_report(results: Results) -> ReportData:
    """The page of one evaluation."""
    probe, value = next(iter(results["probes"].items()))
    bars = [Bar(name, in_percent(each["accuracy"])) for name, each in results["per_class"].items()]
    return ReportData(
        title="stvr eval",
        summary=f"{results['evaluated']} of split {', '.join(results['split'])}, each read at the middle of its parts. "
                f"The probe is always to answer the {probe}. Every figure in percent unless it is a count.",
        headline=Headline("top-1 accuracy", results["top_k"]["1"], value, probe),
        bars=[BarChart("Accuracy by class", sorted(bars, key=lambda bar: -(bar.value or 0)), 100)],
        tables=class_tables(results),
        configuration={
            "labels": results["labels_digest"],
            **{f"store: {name}": each for name, each in results["store_spec"].items()},
            **{f"checkpoint: {name}": each for name, each in results["checkpoint"].items()},
        },
    )  # fmt: skip
