"""Which stretches of a library's videos are worth a look: those whose rows are most like the query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stvr.library.index import IndexedVideo, Rows
from stvr.structures import Span

WHOLE = 64  # clips, about 21 seconds: a shorter video is one window
WINDOW = 32  # clips of a window of a longer one
MARGIN = 6  # clips that are looked at before and after a window: an answer is not cut short at its edge


class Stretch(NamedTuple):
    """Clips of a video that are looked at together. score: of the best row in them."""

    span: Span
    score: float


def stretches(
    videos: Sequence[IndexedVideo], rows: Rows, scores: NDArray[np.float32], count: int
) -> list[list[Stretch]]:
    """The `count` windows with the best rows, by scores (N,), as stretches: a list for each video, the best first.

    A row with -inf says nothing. Windows of one video that touch are one stretch, and all of a video's windows are the
    whole video.
    """
    windows = np.array([num_windows(each) for each in videos], np.int64)
    first = np.concatenate([[0], np.cumsum(windows)])
    middle = (rows.start.astype(np.int64) + rows.stop - 1) // 2
    place = first[rows.video] + np.minimum(middle // WINDOW, windows[rows.video] - 1)
    best = np.full(first[-1], -np.inf, np.float32)
    np.maximum.at(best, place, scores)
    chosen = np.argsort(-best, kind="stable")[:count]
    by_video: dict[int, list[int]] = {}
    for window in chosen[np.isfinite(best[chosen])].tolist():
        by_video.setdefault(int(np.searchsorted(first, window, side="right")) - 1, []).append(window)
    return [joined(videos[number], {window - int(first[number]): float(best[window]) for window in found})
            for number, found in by_video.items()]  # fmt: skip


def everything(videos: Sequence[IndexedVideo]) -> list[list[Stretch]]:
    """Every video, whole."""
    return [[Stretch(Span(each.name, 0, each.num_clips), 0.0)] for each in videos]


def num_windows(video: IndexedVideo) -> int:
    return 1 if video.num_clips <= WHOLE else video.num_clips // WINDOW


def joined(video: IndexedVideo, scores: dict[int, float]) -> list[Stretch]:
    """Windows of one video, and their scores by number -> stretches, in time."""
    total, found = num_windows(video), list[Stretch]()
    for window in sorted(scores):
        start = max(0, window * WINDOW - MARGIN)
        stop = video.num_clips if window == total - 1 else min(video.num_clips, (window + 1) * WINDOW + MARGIN)
        if found and found[-1].span.stop >= start:
            last = found.pop()
            found.append(Stretch(Span(video.name, last.span.start, stop), max(last.score, scores[window])))
        else:
            found.append(Stretch(Span(video.name, start, stop), scores[window]))
    return found
