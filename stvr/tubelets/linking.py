"""Detections per clip become tubelets: followed, filled, cut in time, ranked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from scipy.optimize import linear_sum_assignment
from torchvision.ops import box_iou

from stvr.structures import LABEL_SAME, Detections, Span, Tubelet
from stvr.tubelets.geometry import of_label, tube_cover

Floats = NDArray[np.float64]

STEPS_OF_VELOCITY = 3  # clips over which the motion of an actor is averaged: one second at 3 clips a second


def link(
    detections: Sequence[Detections],
    video: str,
    start: int,
    *,
    min_score: float = 0.05,
    min_iou: float = 0.3,
    max_gap: int = 2,
    min_clips: int = 2,
    cut: float = 0.5,
    nms_iou: float = 0.3,
    max_tubelets: int = 10,
) -> list[Tubelet]:
    """Where and when: the detections of class "same", clip by clip from clip `start` on, as tubelets, best first.

    A detection below `min_score` is not read. An actor is followed by IoU >= `min_iou` with the box where its own
    motion takes it; up to `max_gap` clips without a detection are filled by linear interpolation. A tubelet lasts
    where its score, after a median over three clips, is at least `cut` x its peak (see `cut_in_time`) and for at
    least `min_clips` clips. Of two that tell the same story (`nms_iou`, see `suppress`) one stays.
    The score of a tubelet is the mean of the scores of its clips, filled ones included.
    Which detection of a clip comes first does not matter.
    """
    tracks = follow([by_score(of_label(clip, LABEL_SAME), min_score) for clip in detections], min_iou, max_gap)
    tubelets = [
        tubelet
        for track in tracks
        for tubelet in cut_in_time(track.fill(video, start), cut, max_gap)
        if len(tubelet.scores) >= min_clips
    ]
    kept = suppress(tubelets, nms_iou)
    return sorted((each.tubelet for each in kept), key=lambda tubelet: -tubelet.score)[:max_tubelets]


@dataclass(slots=True)
class Track:
    """An actor that is being followed: the clips where it was seen, its boxes and scores there."""

    clips: list[int] = field(default_factory=list)
    boxes: list[Floats] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    def see(self, clip: int, box: Floats, score: float) -> None:
        self.clips.append(clip)
        self.boxes.append(box)
        self.scores.append(score)

    def expected(self, clip: int) -> Floats:
        """The last box (4,), moved on with the mean velocity of its centre. Actors who cross keep their way."""
        since = max(-len(self.clips), -1 - STEPS_OF_VELOCITY)
        elapsed = max(self.clips[-1] - self.clips[since], 1)
        moved = (self.boxes[-1] - self.boxes[since]).reshape(2, 2).mean(0)
        return self.boxes[-1] + np.tile(moved, 2) * (clip - self.clips[-1]) / elapsed

    def fill(self, video: str, start: int) -> Scored:
        """Every clip from the first to the last one seen, gaps filled on a straight line."""
        clips = np.arange(self.clips[0], self.clips[-1] + 1)
        seen = np.column_stack([np.stack(self.boxes), self.scores])  # (seen, 5)
        filled = np.column_stack([np.interp(clips, self.clips, column) for column in seen.T])
        return Scored.over(Span(video, start + int(clips[0]), start + int(clips[-1]) + 1), filled[:, :4], filled[:, 4])


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """A tubelet and the score (T,) of each of its clips."""

    tubelet: Tubelet
    scores: Floats

    @staticmethod
    def over(span: Span, boxes: Floats, scores: Floats) -> Scored:
        return Scored(Tubelet(span, torch.tensor(boxes, dtype=torch.float32), float(scores.mean())), scores)

    def part(self, first: int, last: int) -> Scored:
        """Its clips first..last, both included, counted from its own start."""
        span = Span(self.tubelet.span.video, self.tubelet.span.start + first, self.tubelet.span.start + last + 1)
        return Scored.over(span, self.tubelet.boxes[first : last + 1].numpy(), self.scores[first : last + 1])


def follow(clips: Sequence[tuple[Floats, Floats]], min_iou: float, max_gap: int) -> list[Track]:
    """Walks through the clips once. What no live track takes begins a track of its own."""
    tracks: list[Track] = []
    for clip, (boxes, scores) in enumerate(clips):
        live = [track for track in tracks if clip - track.clips[-1] <= max_gap + 1]
        taken = assign(live, clip, boxes, scores, min_iou)
        for index in range(len(boxes)):
            if index not in taken:
                tracks.append(Track())
            track = taken.get(index, tracks[-1])
            track.see(clip, boxes[index], float(scores[index]))
    return tracks


def assign(live: Sequence[Track], clip: int, boxes: Floats, scores: Floats, min_iou: float) -> dict[int, Track]:
    """detection -> track, at most one each: the assignment with the largest sum of IoU + score."""
    if not live or not len(boxes):
        return {}
    expected = np.stack([track.expected(clip) for track in live])
    overlap = box_iou(torch.from_numpy(expected), torch.from_numpy(boxes)).numpy()  # (tracks, N)
    allowed = overlap >= min_iou
    rows, columns = linear_sum_assignment(np.where(allowed, overlap + scores, 0.0), maximize=True)
    return {int(c): live[int(r)] for r, c in zip(rows, columns, strict=True) if allowed[r, c]}


def cut_in_time(track: Scored, cut: float, max_gap: int) -> list[Scored]:
    """When does it happen? The runs of clips whose score, a median over three clips, is at least `cut` x the peak.

    The median keeps edges where they are and lets no single clip begin or end an answer. A dip of at most `max_gap`
    clips does not part a run. An actor who does it twice gives two tubelets.
    """
    smooth = median_filter(track.scores, size=3, mode="nearest")
    held = np.flatnonzero(smooth >= cut * smooth.max())
    runs = np.split(held, np.flatnonzero(np.diff(held) > max_gap + 1) + 1)
    return [track.part(int(run[0]), int(run[-1])) for run in runs]


def suppress(tubelets: Sequence[Scored], nms_iou: float) -> list[Scored]:
    """Tube NMS: the one with the largest sum of scores stays, those that `tube_cover` it above `nms_iou` go.

    The sum, not the mean, so that a lucky clip does not remove the long tubelet of the same actor.
    """
    kept: list[Scored] = []
    for candidate in sorted(tubelets, key=lambda each: -each.scores.sum()):
        if all(tube_cover(candidate.tubelet, other.tubelet) <= nms_iou for other in kept):
            kept.append(candidate)
    return kept


def by_score(detections: Detections, min_score: float) -> tuple[Floats, Floats]:
    """Boxes (N, 4) and scores (N,) of at least `min_score`, best first."""
    scores = detections.scores.detach().double().cpu().numpy()
    order = np.argsort(-scores, kind="stable")[: int((scores >= min_score).sum())]
    return detections.boxes.detach().double().cpu().numpy()[order], scores[order]
