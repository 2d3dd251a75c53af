"""What of real clips an index finds by one example: by composition, with no box given in what is searched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from real_clips import RealClip, read_clips
from real_questions import Outcome, askers, average_precision, query_of

from stvr.library import Index, build_index
from stvr.session import Session
from stvr.store import FeatureStore

COMPOSITIONS = (
    "windows,flat", "windows,whiten,flat", "windows,whiten,nnn,flat", "grid,whiten,flat", "grid,whiten,nnn,flat",
    "tubes,flat", "tubes,whiten,flat", "tubes,whiten,nnn,flat", "windows+tubes,whiten,nnn,flat",
)  # fmt: skip
FIRST = (8, 32)  # rows that would be localised


def recall(manifest: Path, store: Path, work: Path) -> tuple[list[tuple[str, list[Outcome]]], list[str]]:
    """Outcomes by composition, and a line of a table on the size of each."""
    rows, sizes = [], []
    clips = read_clips(manifest, FeatureStore.open(store))
    for composition in COMPOSITIONS:
        regions, _, rest = composition.partition(",")
        folder = work / f"{regions}"
        build_index([store], folder, composition=f"{regions},{rest}")
        index = Index.open(folder)
        seconds = sum(each.seconds for each in index.videos)
        rows.append((f"`{composition}`", outcomes(index, clips)))
        rate = len(index) / seconds
        sizes.append(f"| `{composition}` | {len(index)} | {rate:.2f} | {3600 * rate:.0f} |")
    return rows, sizes


def outcomes(index: Index, clips: Sequence[RealClip]) -> list[Outcome]:
    """A second in the middle of the longest true tubelet asks, of all videos of other groups."""
    session = Session.open(index.head_file, store=index.store, device="cpu")
    by_name = {clip.name: clip for clip in clips}
    owners = [by_name.get(video.name) for video in index.videos]
    return [Outcome(one, judged(one, index, owners, index.scores(index.describe(query_of(session, one.example)))))
            for one in askers(clips)]  # fmt: skip


def judged(
    one: RealClip, index: Index, owners: Sequence[RealClip | None], scores: NDArray[np.float32]
) -> Mapping[str, float]:
    """A video is worth its best row; a row is right that shares a clip with a true tubelet of the asked action."""
    asked = np.array([owner is not None and owner.group != one.group for owner in owners])
    right = np.array([owner is not None and owner.is_like(one) for owner in owners])
    video = np.asarray(index.rows.video)
    scores = np.where(asked[video], scores, -np.inf)
    worth = np.array([scores[video == number].max(initial=-np.inf) for number in range(len(owners))])
    order = [number for number in np.argsort(-worth, kind="stable") if np.isfinite(worth[number])]
    hits = [bool(right[number]) for number in order]
    best = np.argsort(-scores, kind="stable")
    figures = {"first video right": float(hits[0]), "mAP over videos": average_precision(hits, int(right.sum()))}
    for count in FIRST:
        found = {int(video[row]) for row in best[:count] if right[video[row]] and in_time(index, int(row), owners)}
        figures[f"of the right videos in the first {count} rows"] = len(found) / max(int(right.sum()), 1)
    return figures


def in_time(index: Index, row: int, owners: Sequence[RealClip | None]) -> bool:
    owner = owners[index.rows.video[row]]
    assert owner is not None
    start, stop = int(index.rows.start[row]), int(index.rows.stop[row])
    return any(max(each.span.start, start) < min(each.span.stop, stop) for each in owner.tubelets)
