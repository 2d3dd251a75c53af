"""The table of real clips as text: folds joined, seeds averaged, intervals over draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from real_tables import interval

IOUS = ("0.3", "0.5", "0.7")
FIRST = ("all videos: action right", "all videos: action and tube right")

Runs = Sequence[Mapping[str, Any]]


def page(about: Mapping[str, str], found: Mapping[str, Runs], rows: Sequence[str]) -> str:
    facts = "; ".join(f"{name} {value}" for name, value in about.items()
                      if name not in ("command", "steps", "clips", "folds", "pixels"))  # fmt: skip
    return "\n".join([
        "# Real clips, one example, trained on other actions", "",
        f"`{about['command']}`; {facts}. {about['clips']} clips of {about['pixels']} pixels, {about['steps']} steps a "
        f"training. Folds, each asked of what was trained on the others: {about['folds']}.", "",
        "frame-mAP and video-mAP in percent: mean over the actions of all folds and over seeds. First answer: share of "
        "the queries whose first answer over all videos of other groups is right. In brackets the middle 95 % of draws "
        "of the pairs, or of the queries.", "", *table(found, rows), "",
    ])  # fmt: skip


def table(found: Mapping[str, Runs], rows: Sequence[str]) -> list[str]:
    lines = ["| | IoU 0.3 | IoU 0.5 | IoU 0.7 | shuffled, 0.5 | owed to the query | video-mAP 0.2 | video-mAP 0.5 | "
             "first answer: action | action and tube | recall of 32 at 0.5 | ms a question | parameters | trainings |",
             "|---|" + "---|" * 13]  # fmt: skip
    for name in rows:
        if runs := found.get(name):
            lines.append(f"| {name} | {' | '.join(cells(runs))} |")
    return lines


def cells(runs: Runs) -> list[str]:
    drawn, other = draws(runs, "model"), draws(runs, "shuffled")
    recall = [run["recall"]["32"]["0.5"] for run in runs if run["recall"]]
    asked = by_query(runs)
    firsts = ["{:.2f} ({:.2f} to {:.2f})".format(*interval([each[name] for each in asked])) for name in FIRST]
    shuffled, seconds = of_labels(runs, "shuffled", "0.5"), np.mean([run["question_seconds"] for run in runs])
    return [
        f"{of_labels(runs, 'per_label', '0.3'):.1f}",
        f"{of_labels(runs, 'per_label', '0.5'):.1f} {middle(drawn)}",
        f"{of_labels(runs, 'per_label', '0.7'):.1f}",
        f"{shuffled:.1f}", f"{of_labels(runs, 'per_label', '0.5') - shuffled:.1f} {middle(drawn - other)}",
        *(f"{of_labels(runs, 'video_map', iou):.1f}" for iou in ("0.2", "0.5")), *firsts,
        f"{100 * np.mean(recall):.0f}" if recall else "-",
        f"{1000 * seconds:.0f}", f"{runs[0]['parameters']:,}", str(len(runs)),
    ]  # fmt: skip


def of_labels(runs: Runs, what: str, iou: str) -> float:
    """The mean over labels of the mean over seeds, in percent; NaN where nothing is known."""
    values: dict[str, list[float]] = {}
    for run in runs:
        for label, each in (run[what] or {}).items():
            if each[iou] is not None:
                values.setdefault(label, []).append(100 * each[iou])
    return float(np.mean([np.mean(each) for each in values.values()])) if values else float("nan")


def draws(runs: Runs, what: str) -> np.ndarray:
    """frame-mAP at IoU 0.5 of each draw, in percent: the mean over labels of the mean over seeds."""
    values: dict[str, list[np.ndarray]] = {}
    for run in runs:
        for label, each in run["drawn"].get(what, {}).items():
            values.setdefault(label, []).append(np.asarray(each, float))
    every = [np.mean(each, 0) for each in values.values()]
    return 100 * np.nanmean(every, 0) if every else np.full(1, np.nan)


def middle(values: np.ndarray) -> str:
    known = values[~np.isnan(values)]
    return "({:.1f} to {:.1f})".format(*np.quantile(known, [0.025, 0.975])) if len(known) else ""


def by_query(runs: Runs) -> list[dict[str, float]]:
    """The figures of each query, averaged over seeds."""
    values: dict[str, list[Mapping[str, float]]] = {}
    for run in runs:
        for name, figures in run["asked"].items():
            values.setdefault(name, []).append(figures)
    return [{name: float(np.mean([each[name] for each in own])) for name in own[0]} for own in values.values()]
