"""The dials of each video of a synthetic world, drawn and measured: scenes.csv, and pairs binned by them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from math import inf
from pathlib import Path

import numpy as np

from stvr.structures import ClipSpec, Pair
from stvr.world.options import CELL, CLIPS_A_SECOND
from stvr.world.painting import Floats
from stvr.world.scenes import Scene

FILE = "scenes.csv"
HIDDEN_BELOW = 0.5  # of an actor's pixels in the picture
EDGES: Mapping[str, Sequence[float]] = {  # of the bins; each bin includes its lower edge and excludes its upper one
    "speed": (0, 0.25, 0.5, 1, 1.5, 2, 3, inf),  # cells a clip
    "occlusion": (0, 1 / CLIPS_A_SECOND, 1, 2, 3, inf),  # seconds
    "length": (0, 5, 10, 20, 40, inf),  # seconds of the reference
}

UNITS = {"speed": "cells a clip", "occlusion": "s", "length": "s"}


@dataclass(frozen=True, slots=True)
class VideoDials:
    """One video. speed, occlusion: as measured; speed_dial, occlusion_dial: as drawn, 0 where the dial is off.

    seconds: its length. actors, clutter: how many. speed: cells of CELL pixels that actors move from one clip to the
    next, on average. occlusion: the longest time that an actor is more than half hidden, by anything, in seconds of
    whole clips, averaged over the actors.
    """

    video: str
    seconds: float
    actors: int
    clutter: int
    speed: float
    occlusion: float
    speed_dial: float
    occlusion_dial: float


@dataclass(frozen=True, slots=True)
class DialBin:
    """The pairs (their indices in the list) whose value lies in [low, high). mean: the mean of their values."""

    low: float
    high: float
    mean: float
    pairs: tuple[int, ...]


def measure(video: str, scene: Scene, shares: Floats) -> VideoDials:
    """shares (actors, clips): how much of each actor is visible in the middle of each clip."""
    moments = scene.clip_moments()
    moved = [np.linalg.norm(np.diff(actor.feet[moments], axis=0), axis=1) for actor in scene.actors]
    speed = float(np.mean(moved)) / CELL if len(moments) > 1 else 0.0
    hidden = float(np.mean([longest_run(row < HIDDEN_BELOW) for row in shares])) / CLIPS_A_SECOND
    options, drawn = scene.options, scene.dials
    return VideoDials(video, scene.num_frames / options.fps, len(scene.actors), drawn.clutter, speed, hidden,
                      drawn.speed, drawn.occlusion)


def longest_run(flags: np.ndarray) -> int:
    """The length of the longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def write_dials(path: Path, videos: Sequence[VideoDials]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(VideoDials))
        for each in videos:
            values = [getattr(each, field.name) for field in fields(VideoDials)]
            writer.writerow(f"{value:.4f}" if isinstance(value, float) else value for value in values)


def read_dials(path: Path) -> dict[str, VideoDials]:
    """The dials by video, read from a world's folder or its scenes.csv. ValueError names the line that does not fit."""
    path = path / FILE if path.is_dir() else path
    columns = [field.name for field in fields(VideoDials)]
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = [column for column in columns if column not in (reader.fieldnames or [])]
        if missing:
            raise ValueError(f"{path.name} has no column {', '.join(missing)}. Give the scenes.csv of `stvr synth`.")
        videos = {}
        for row in reader:
            try:
                values = {name: float(row[name]) for name in columns[1:]}
                actors, clutter = int(values.pop("actors")), int(values.pop("clutter"))
            except (TypeError, ValueError, OverflowError):  # the last: an infinity of actors
                raise ValueError(f"{path.name}, line {reader.line_num}: wanted a number in every column but the "
                                 "first.") from None
            videos[row["video"]] = VideoDials(row["video"], actors=actors, clutter=clutter, **values)
    return videos


def bins_of_pairs(pairs: Sequence[Pair], dials: Mapping[str, VideoDials], clip: ClipSpec | None = None,
                  ) -> dict[str, list[DialBin]]:
    """The pairs binned by their reference: by the "speed" and "occlusion" of its video, and by its own "length".

    Empty bins are left out.
    LookupError for a reference whose video is not among the dials.
    """
    clip = clip or ClipSpec()
    for pair in pairs:
        if pair.reference.video not in dials:
            raise LookupError(f"the dials have no video {pair.reference.video!r}. Give the scenes.csv of the world "
                              "that the pairs were made from.")
    values = {
        "speed": [dials[pair.reference.video].speed for pair in pairs],
        "occlusion": [dials[pair.reference.video].occlusion for pair in pairs],
        "length": [clip.seconds_at(len(pair.reference)) for pair in pairs],
    }
    return {name: binned(values[name], edges) for name, edges in EDGES.items()}


def binned(values: Sequence[float], edges: Sequence[float]) -> list[DialBin]:
    """A value just below an edge counts as on it: files hold only four decimals."""
    bins = []
    for low, high in pairwise(edges):
        among = tuple(i for i, value in enumerate(values) if low - 1e-3 <= value < high - 1e-3)
        if among:
            bins.append(DialBin(low, high, float(np.mean([values[i] for i in among])), among))
    return bins
