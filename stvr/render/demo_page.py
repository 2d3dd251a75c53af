"""The page of `stvr demo`: what its evaluation measured, how training went, a few answers."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from stvr.machine import processor
from stvr.render.evaluation import headline, precision_recall
from stvr.render.report import Answer, ReportData
from stvr.render.result_tables import AT, Results, frame_map_table, recall_table

NOT_LOSSES = ("step", "total", "gradient_norm", "lr", "steps_a_second")  # in a line of the training log


def demo_report(
    results: Results, log: Path, answers: Sequence[Answer], seconds: Mapping[str, float], seed: int, version: str
) -> ReportData:
    """results: eval.json. log: the training log, JSON Lines. seconds: of each stage. version: of stvr."""
    spec = results["store_spec"]
    return ReportData(
        title="stvr: where and when does this happen?",
        summary=(
            f"A matching head was trained on the features of {spec['backbone']} ({spec['weights']} weights); it was "
            "then asked about actions that no training video shows, with one example each."
        ),
        headline=headline(results, f"frame-mAP at IoU {AT} on unseen actions"),
        tables=[frame_map_table(results), recall_table(results["proposal_recall"])],
        precision_recall=precision_recall(results),
        training=[training_line(json.loads(line)) for line in log.read_text().splitlines()],
        answers=answers,
        timings=seconds,
        configuration={"seed": seed, **configuration(results, version)},
    )


def training_line(line: Mapping[str, float]) -> dict[str, Any]:
    losses = {name: value for name, value in line.items() if name not in NOT_LOSSES}
    return {"step": line["step"], "loss": line["total"], "losses": losses}


def configuration(results: Results, version: str) -> dict[str, Any]:
    spec, training = results["store_spec"], dict(results["checkpoint"]["train"])
    return {
        "backbone": f"{spec['backbone']} at {', '.join(spec['maps'])}, weights {spec['weights']}, "
                    f"{spec['clip']['image_size']} px",
        "head": json.dumps(training.pop("head")),
        "training": json.dumps(training),
        "evaluated": results["evaluated"],
        "machine": f"{processor()}, {os.cpu_count()} cores, {platform.system()}",
        "versions": f"stvr {version}, torch {torch.__version__}, Python {platform.python_version()}",
    }  # fmt: skip
