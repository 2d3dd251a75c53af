"""Trainings with some seeds each: kept as they are finished, shown as mean and deviation."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from stvr.files import write_json, write_text
from stvr.training.runs import CONFIG_FILE

FIGURES, HOW = "figures.json", "how"

Figures = Mapping[str, Any]
How = Mapping[str, Any]  # the options that make figures, by name: numbers and texts


def kept(folder: Path, how: How, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The figures of one training, beside it, with how they were made; read from there where they are.

    ValueError where they were made otherwise.
    """
    check_alike(folder, how)
    if not (folder / FIGURES).exists():
        write_json(folder / FIGURES, {**make(), HOW: dict(how)})
    return {name: value for name, value in read(folder / FIGURES).items() if name != HOW}


def check_kept(asked: Mapping[Path, How]) -> None:
    """By folder how its figures are asked for: ValueError where those of one were made otherwise.

    Earlier versions noted nothing: what they kept is taken where nothing contradicts, which is said.
    """
    for folder, how in asked.items():
        check_alike(folder, how)
    bare = [folder for folder in asked if (folder / FIGURES).exists() and HOW not in read(folder / FIGURES)]
    if bare:
        print(f"{len(bare)} kept figures, {bare[0] / FIGURES} first, do not say how they were made. Nothing there "
              "contradicts what is asked for, and they are taken as they are.", file=sys.stderr)  # fmt: skip


def check_alike(folder: Path, how: How) -> None:
    noted = noted_in(folder)
    other = [name for name in how if name in noted and noted[name] != how[name]]
    if other:
        there, asked = (", ".join(f"{name} {values[name]}" for name in other) for values in (noted, how))
        raise ValueError(f"{folder} was made with {there}, and {asked} is asked for. Name another folder.")


def noted_in(folder: Path) -> dict[str, Any]:
    """How what lies in a folder was made: as its figures say; else as far as the configuration of its training says."""
    if HOW in (figures := read(folder / FIGURES)):
        return dict(figures[HOW])
    trained = [read(path) for path in (*folder.glob(CONFIG_FILE), *folder.glob(f"*/{CONFIG_FILE}"))]
    if not trained:
        return {}
    return {"steps": trained[0]["train"]["steps"], "image_size": trained[0]["spec"]["clip"]["image_size"]}


def read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text())) if path.exists() else {}


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
                write_text(out, text(found) + "\n")
