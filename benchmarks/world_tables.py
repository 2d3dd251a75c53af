"""The table of the action world as text, and its curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import mean
from typing import Any

from over_seeds import Mean, curves_svg
from table_rows import BASELINE

PLAINEST = "none"  # the row without a memory, with which the curves of the others are compared

IOUS = ("0.3", "0.5", "0.7")
LINKER = "online"  # of `stvr locate`, for the video-mAP
PROTOCOL = "debiased"
FEWEST = 10  # pairs of a bin that is shown
MODEL_PROBE = "true boxes, the model's match score"
TITLES = {"speed": ("frame-mAP at IoU 0.5 over speed", "cells a clip"),
          "occlusion": ("frame-mAP at IoU 0.5 over how long an actor is hidden", "seconds")}  # fmt: skip

Runs = Sequence[Mapping[str, Any]]
Found = Mapping[str, Mapping[str, Runs]]
Bins = Mapping[float, tuple[float, float]]  # by where a bin begins, the mean of its values and frame-mAP in percent
Curve = list[tuple[float, Mean]]


def page(about: Mapping[str, str], costs: Mapping[str, Any], found: Found, rows: Sequence[str]) -> str:
    facts = "; ".join(f"{name} {value}" for name, value in about.items() if name not in ("command", "steps"))
    plain, dials = found.get("plain", {}), found.get("dials", {})
    parts = ["# Every localiser on the action world", "",
             f"`{about['command']}`; {facts}. {about['steps']} steps a training. frame-mAP and video-mAP in percent on "
             "unseen actions: mean over the seeds of training and of the pairs that are asked, and half of its 95 % "
             "interval.", "", "## Trained and asked on debiased pairs", "", *table(plain, costs, rows, PROTOCOL),
             "", "## The same heads, asked under the released protocol", "", *table(plain, {}, rows, "released"),
             "", "## Cost", "", *cost_table(costs, rows), "", "## What never looks at the query", "",
             *probe_table(plain)]  # fmt: skip
    if dials:
        parts += ["", "## Over speed and occlusion", "", "A world of its own, in which both dials are turned.", "",
                  *table(dials, {}, rows, PROTOCOL)]
        for dial, (title, unit) in TITLES.items():
            parts += ["", *dial_table(f"{title}, {unit}", dial_curves(dials, dial)),
                      "", *dial_table(f"The same, above {PLAINEST}'s of the same seed", above(dials, dial))]
    return "\n".join([*parts, ""])


def table(found: Mapping[str, Runs], costs: Mapping[str, Any], rows: Sequence[str], protocol: str) -> list[str]:
    lines = ["| | " + " | ".join(f"IoU {iou}" for iou in IOUS) + " | over warp_lstm, 0.5 | shuffled, 0.5 | owed to the "
             "query | video-mAP 0.2 | video-mAP 0.5 | true boxes given | recall of 32 at 0.5 | runs |",
             "|---|" + "---|" * (len(IOUS) + 8)]  # fmt: skip
    base = at_half(found.get(BASELINE, []), protocol)
    for name in rows:
        runs = [run for run in found.get(name, []) if protocol in run]
        if not runs:
            continue

        def column(value: Callable[[Mapping[str, Any]], float | None], runs: Runs = runs) -> str:
            values = [found for run in runs if (found := value(run[protocol])) is not None]
            return str(Mean.of([100 * each for each in values])) if values else "-"

        more = [100 * (value - base[seed]) for seed, value in at_half(runs, protocol).items() if seed in base]
        cells = [
            *(column(lambda each, iou=iou: each["frame_map"][iou]) for iou in IOUS),  # type: ignore[misc]
            str(Mean.of(more)) if more and name != BASELINE else "-",
            column(lambda each: each["shuffled"]["0.5"]),
            column(lambda each: each["frame_map"]["0.5"] - each["shuffled"]["0.5"]),
            *(column(lambda each, iou=iou: each["video_map"][LINKER][iou])  # type: ignore[misc]
              for iou in ("0.2", "0.5")),
            column(lambda each: each["probes"].get(MODEL_PROBE, {}).get("0.5")),
            column(lambda each: each["recall"].get("32", {}).get("0.5")), str(len(runs)),
        ]  # fmt: skip
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def at_half(runs: Runs, protocol: str) -> dict[int, float]:
    return {run["seed"]: run[protocol]["frame_map"]["0.5"] for run in runs if protocol in run}


def cost_table(costs: Mapping[str, Any], rows: Sequence[str]) -> list[str]:
    base = costs.get(BASELINE, {}).get("step_seconds")
    lines = ["| | ms a step, alone | of warp_lstm's | parameters | GFLOP a clip, look | GFLOP a clip, question |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for name in rows:
        if cost := costs.get(name):
            share = f"{cost['step_seconds'] / base:.2f}" if base else "-"
            lines.append(f"| {name} | {1000 * cost['step_seconds']:.0f} | {share} | {cost['parameters']:,} | "
                         f"{cost['gflop_look']:.2f} | {cost['gflop_ask']:.2f} |")
    return lines


def probe_table(found: Mapping[str, Runs]) -> list[str]:
    """Of the baseline's runs: these rankings of the true boxes are the same for every row."""
    runs = [run for run in found.get(BASELINE, []) if run.get(PROTOCOL, {}).get("probes")]
    protocols = [name for name in (PROTOCOL, "released") if runs and name in runs[0]]
    if not protocols:
        return []
    lines = [f"| ranking of the true boxes | {' | '.join(protocols)} |", "|---|" + "---|" * len(protocols)]
    for probe in runs[0][protocols[0]]["probes"]:
        if probe != MODEL_PROBE:
            cells = [str(Mean.of([100 * (run[each]["probes"][probe]["0.5"] or 0) for run in runs]))
                     for each in protocols]  # fmt: skip
            lines.append(f"| {probe} | {' | '.join(cells)} |")
    return lines


def by_bin(run: Mapping[str, Any], dial: str) -> Bins:
    return {each["from"]: (each["mean"], 100 * each["mAP"])
            for each in (run[PROTOCOL]["by_dial"] or {}).get(dial, [])
            if each["mAP"] is not None and each["pairs"] >= FEWEST}  # fmt: skip


def curve(runs: Sequence[Bins]) -> Curve:
    """Of every bin that all runs have the mean of its values, and the mean over the runs."""
    bins = sorted(set.intersection(*(set(run) for run in runs))) if runs else []
    return [(mean(run[each][0] for run in runs), Mean.of([run[each][1] for run in runs])) for each in bins]


def dial_curves(found: Mapping[str, Runs], dial: str) -> dict[str, Curve]:
    """By row: of every bin the mean of its values, and frame-mAP over the seeds."""
    return drawn({name: [by_bin(run, dial) for run in runs] for name, runs in found.items()})


def above(found: Mapping[str, Runs], dial: str) -> dict[str, Curve]:
    """By row, how much more than that of the row without a memory: seed by seed, whose pairs are the same."""
    base = {run["seed"]: by_bin(run, dial) for run in found.get(PLAINEST, [])}
    return drawn({
        name: [{each: (x, y - base[run["seed"]][each][1]) for each, (x, y) in by_bin(run, dial).items()
                if each in base[run["seed"]]} for run in runs if run["seed"] in base]
        for name, runs in found.items() if name != PLAINEST
    })  # fmt: skip


def drawn(runs: Mapping[str, Sequence[Bins]]) -> dict[str, Curve]:
    return {name: line for name, each in runs.items() if (line := curve(each))}


def dial_table(title: str, curves: Mapping[str, Curve]) -> list[str]:
    if not curves:
        return []
    longest = max(curves.values(), key=len)
    lines = [f"{title}; columns are the mean of a bin of at least {FEWEST} pairs.", "",
             "| | " + " | ".join(f"{x:.2f}" for x, _ in longest) + " |", "|---|" + "---|" * len(longest)]  # fmt: skip
    for name, line in curves.items():
        cells = [str(each) for _, each in line] + ["-"] * (len(longest) - len(line))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def plots(found: Found) -> dict[str, str]:
    """SVG files by dial."""
    dials = found.get("dials", {})
    return {dial: curves_svg(title, unit, "frame-mAP, %", curves) for dial, (title, unit) in TITLES.items()
            if (curves := dial_curves(dials, dial))}  # fmt: skip
