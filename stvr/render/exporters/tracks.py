"""Clips to frames and back, for formats that count frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stvr.render.exporters.records import CLIP, DECIMALS, Found, runs

SLOWEST = float(CLIP.clips_per_second)  # frames a second; below, some clips would have no frame


def frames_of(found: Found, fps: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The frames (F,), counted from 0, that begin in a clip of the tubelet, and their boxes (F, 4)."""
    check_rate(fps)
    around = range(int(CLIP.seconds_at(found.start) * fps), int(CLIP.seconds_at(found.stop) * fps) + 2)
    clips = {frame: CLIP.index_at(frame / fps) for frame in around}
    frames = [frame for frame, clip in clips.items() if found.start <= clip < found.stop]
    return np.array(frames, np.int64), found.boxes[[clips[frame] - found.start for frame in frames]]


def found_of(reference: str, score: float, size: tuple[int, int], frames: Sequence[int],
             boxes: NDArray[np.float64], fps: float) -> list[Found]:
    """The tubelets of one track: frames (F,) from 0 and boxes (F, 4) in pixels; a clip gets its middle frame's box.

    A clip without a frame ends a tubelet. Boxes are rounded as `stvr locate` rounds them.
    """
    check_rate(fps)
    inside: dict[int, list[int]] = {}
    for index in np.argsort(np.asarray(frames), kind="stable").tolist():
        inside.setdefault(CLIP.index_at(frames[index] / fps), []).append(index)
    clips = np.array(list(inside), np.int64)
    middle = [group[len(group) // 2] for group in inside.values()]
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4).round(DECIMALS)
    return [Found(reference, score, *size, int(clips[run[0]]), boxes[[middle[place] for place in run]])
            for run in runs(clips) if len(run)]


def check_rate(fps: float) -> None:
    if not SLOWEST <= fps < 10_000:
        raise ValueError(f"wanted a frame rate of at least {SLOWEST:g} a second, so that every clip has a frame, "
                         f"got {fps:g}.")


def known_rate(fps: float | None) -> float:
    if fps is None:
        raise ValueError("the file counts frames, but does not say how many there are a second. Give --fps.")
    return float(fps)


def score_of(text: float | str | None) -> float:
    """1 where a file gives no score."""
    return 1.0 if text is None or text == "" else float(text)
