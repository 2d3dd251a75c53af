"""The figures of a classifier as tables, and as a page."""

from __future__ import annotations

from stvr.render.bars import Bar, BarChart
from stvr.render.report import Headline, ReportData
from stvr.render.result_tables import Results
from stvr.render.tables import Table, in_percent


def class_tables(results: Results) -> list[Table]:
    """The figure of each class, the best first; then of all."""
    what, figure = kind_of(results)
    by_class = sorted(results["per_class"].items(), key=lambda item: -item[1][figure])
    return [
        Table(f"{what} by class", ["class", "stretches", what.lower()],
              [[name, str(each["support"]), in_percent(each[figure])] for name, each in by_class]),
        Table(what, ["of all", what.lower()],
              [[name, in_percent(value)] for name, value in of_all(results).items()]
              + [[f"probe: {name}", in_percent(value)] for name, value in results["probes"].items()]),
    ]  # fmt: skip


def kind_of(results: Results) -> tuple[str, str]:
    """What is measured of a class, in words and in the file."""
    several = "mean_average_precision" in results
    return ("Average precision", "average_precision") if several else ("Accuracy", "accuracy")


def of_all(results: Results) -> dict[str, float]:
    """Figures of all stretches by name, the first of them first."""
    if "mean_average_precision" in results:
        return {"mAP": results["mean_average_precision"]}
    return {**{f"top-{k}": value for k, value in results["top_k"].items()},
            "mean over the classes": results["mean_class_accuracy"]}  # fmt: skip


def class_report(results: Results) -> ReportData:
    """The page of one evaluation."""
    probe, value = next(iter(results["probes"].items()))
    what, figure = kind_of(results)
    name, of_every = next(iter(of_all(results).items()))
    bars = [Bar(label, in_percent(each[figure])) for label, each in results["per_class"].items()]
    return ReportData(
        title="stvr eval",
        summary=f"{results['evaluated']} of split {', '.join(results['split'])}, each read at the middle of its parts. "
                f"The probe answers every stretch alike: {probe}. Every figure in percent unless it is a count.",
        headline=Headline(name if name == "mAP" else f"{name} accuracy", of_every, value, probe),
        bars=[BarChart(f"{what} by class", sorted(bars, key=lambda bar: -(bar.value or 0)), 100)],
        tables=class_tables(results),
        configuration={
            "labels": results["labels_digest"],
            **{f"store: {name}": each for name, each in results["store_spec"].items()},
            **{f"checkpoint: {name}": each for name, each in results["checkpoint"].items()},
        },
    )  # fmt: skip
