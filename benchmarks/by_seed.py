"""Trainings with some seeds each: kept as they are finished, shown as mean and deviation."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from stvr.files import write_json

Figures = Mapping[str, Any]


def kept(folder: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The figures of one training, beside it; read from there where they are."""
    path = folder / "figures.json"
    if not path.exists():
        write_json(path, make())
    return dict(json.loads(path.read_text()))


def shown(values: Sequence[float]) -> str:
    return f"{mean(values):.1f} ± {stdev(values):.1f}" if len(values) > 1 else f"{values[0]:.1f}"


def step_seconds(runs: Sequence[Figures], digits: int) -> str:
    """Of those trainings that ran from here; one that was found trained has none."""
    timed = [run["step_seconds"] for run in runs if run["step_seconds"]]
    return f"{mean(timed):.{digits}f}" if timed else "-"


def train_all(
    names: Sequence[str], seeds: int, run: Callable[[str, int], Figures],
    text: Callable[[Mapping[str, Sequence[Figures]]], str], out: Path | None,
) -> None:
    """Every name with every seed, a seed at a time; what is known by then is printed, and written, after each."""
    found: dict[str, list[Figures]] = {}
    for seed in range(seeds):
        for name in names:
            found.setdefault(name, []).append(run(name, seed))
            print(text(found), flush=True)
            if out:
                out.write_text(text(found) + "\n")
