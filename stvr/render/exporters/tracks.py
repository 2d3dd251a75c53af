"""Clips to frames and back, for formats that count frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stvr.render.exporters.records import CLIP, DECIMALS, Found, runs
from stvr.video.frame_times import FrameTimes

SLOWEST = float(CLIP.clips_per_second)  # frames a second; below, some clips would have no frame of their own


def frames_of(found: Found, times: FrameTimes) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The frames (F,), counted from 0, that stand for a clip of the tubelet, and their boxes (F, 4).

    A frame that stands for several, since it is on screen for long, has the box of the first.
    """
    around = times.frames_between(found.seconds_at(found.start), found.seconds_at(found.stop))
    frames, clips = [], []
    for frame, shown in zip(around, clips_of(np.array(around, np.int64), times, found.offset), strict=True):
        inside = [clip for clip in shown if found.start <= clip < found.stop]
        if inside:
            frames.append(frame)
            clips.append(inside[0] - found.start)
    return np.array(frames, np.int64), found.boxes[clips]


def found_of(reference: str, size: tuple[int, int], frames: Sequence[int], boxes: NDArray[np.float64],
             scores: Sequence[float], times: FrameTimes, *, label: str = "", person: str = "") -> list[Found]:
    """The tubelets of one track: frames (F,) from 0, each once, boxes (F, 4) in pixels and scores (F,).

    A clip gets the box that stands at its middle, else that of the frame in the middle of those that begin in it; one
    without any ends a tubelet. Boxes are rounded as `stvr locate` rounds them. A tubelet's score is the mean over its
    frames. Clips are the video's own, of which the first begins with its first picture.
    """
    offset = times.first - CLIP.seconds_at(CLIP.index_at(times.first))
    inside: dict[int, list[int]] = {}
    order = np.argsort(np.asarray(frames), kind="stable")
    sorted_frames = np.asarray(frames, np.int64)[order]
    for index, shown in zip(order.tolist(), clips_of(sorted_frames, times, offset), strict=True):
        for clip in shown:
            inside.setdefault(clip, []).append(index)
    clips = np.array(sorted(inside), np.int64)
    edges = np.asarray(boxes, np.float64).reshape(-1, 4).round(DECIMALS)
    at_middle = {clip: index for index, clips in zip(order.tolist(), clips_of_middles(sorted_frames, times, offset),
                                                     strict=True) for clip in clips}
    found = []
    for run in runs(clips):
        if len(run):
            members = dict.fromkeys(index for place in run for index in inside[int(clips[place])])
            box = edges[[at_middle.get(clip, inside[clip][len(inside[clip]) // 2]) for clip in clips[run].tolist()]]
            score = mean_of([scores[index] for index in members])
            found.append(Found(reference, score, *size, int(clips[run[0]]), box, max(offset, 0.0), label, person))
    return found


def clips_of(frames: NDArray[np.int64], times: FrameTimes, offset: float) -> list[range]:
    """The clips that each of the frames (F,) stands for: where it is on screen at the middle, else where it begins.

    offset: as in Found.
    """
    begins = [CLIP.index_at(start) for start in (times.seconds(frames) - offset).tolist()]
    return [clips or range(at, at + 1) for clips, at in
            zip(clips_of_middles(frames, times, offset), begins, strict=True)]


def clips_of_middles(frames: NDArray[np.int64], times: FrameTimes, offset: float) -> list[range]:
    """The clips at whose middle each of the frames (F,) is on screen."""
    half = CLIP.seconds_at(1) / 2
    starts, stops = ((times.seconds(each) - offset).tolist() for each in (frames, frames + 1))
    return [range(-CLIP.index_at(half - start), -CLIP.index_at(half - stop))
            for start, stop in zip(starts, stops, strict=True)]


def mean_of(scores: Sequence[float]) -> float:
    """The mean; of equal scores that score, to the last bit."""
    return float(scores[0]) if len(set(scores)) == 1 else float(np.mean(scores))


def constant_rate(fps: float | None) -> FrameTimes:
    """ValueError where nothing says how many frames there are a second, or too few for a frame in every clip."""
    if fps is None:
        raise ValueError("frames are counted, but nothing says how many there are a second. Give --fps, or the video "
                         "itself with --videos: its own time stamps are read then.")
    if not SLOWEST <= fps < 10_000:
        raise ValueError(f"wanted a frame rate of at least {SLOWEST:g} a second, so that every clip has a frame, "
                         f"got {fps:g}.")
    return FrameTimes(float(fps))
