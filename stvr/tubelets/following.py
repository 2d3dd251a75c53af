"""Which detections of neighbouring clips are one actor: greedy, Viterbi, online, one signature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torchvision.ops import box_iou

from stvr.tubelets.overlaps import Floats, Indices

STEPS_OF_VELOCITY = 3  # clips over which the motion of an actor is averaged: one second at 3 clips a second
MAX_PATHS = 30  # that Viterbi takes out of one reference, best first

Clips = Sequence[tuple[Floats, Floats]]  # boxes (N, 4) and scores (N,) of each clip, best first


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
        moved = self.boxes[-1] - self.boxes[since]
        centre = (moved[:2] + moved[2:]) / 2
        return self.boxes[-1] + np.concatenate([centre, centre]) * (clip - self.clips[-1]) / elapsed


class OnlineFollower:
    """Takes one clip after the other; each is shared out as a whole, by the largest sum of IoU + score.

    Where an actor is expected follows from its motion. What no live track takes begins a track of its own; a track is
    live until nothing was seen of it for more than `max_gap` clips, or until it has lasted for `longest` clips.
    """

    def __init__(self, min_iou: float, max_gap: int, longest: int | None = None) -> None:
        self.min_iou, self.max_gap, self.longest = min_iou, max_gap, longest
        self.live: list[Track] = []
        self.clip = 0  # the next one's number

    def step(self, boxes: Floats, scores: Floats) -> list[Track]:
        """Takes the next clip: boxes (N, 4), scores (N,), best first. Gives the tracks that have ended before it."""
        ended = [track for track in self.live if self._has_ended(track)]
        self.live = [track for track in self.live if not self._has_ended(track)]
        taken = assign(self.live, self.clip, boxes, scores, self.min_iou)
        for index in range(len(boxes)):
            if index not in taken:
                self.live.append(Track())
            track = taken.get(index, self.live[-1])
            track.see(self.clip, boxes[index].copy(), float(scores[index]))  # a view would keep all boxes of the clip
        self.clip += 1
        return ended

    def _has_ended(self, track: Track) -> bool:
        return self.clip - track.clips[-1] > self.max_gap + 1 or self.is_longest(track)

    def is_longest(self, track: Track) -> bool:
        """Whether it lasts for as long as any may."""
        return self.longest is not None and track.clips[-1] - track.clips[0] + 1 >= self.longest

    def finish(self) -> list[Track]:
        """The tracks that were live to the end."""
        ended, self.live = self.live, []
        return ended


def follow_online(clips: Clips, min_iou: float, max_gap: int) -> list[Track]:
    """As `OnlineFollower`, all clips at once; tracks in the order in which they begin."""
    follower = OnlineFollower(min_iou, max_gap)
    tracks = [track for boxes, scores in clips for track in follower.step(boxes, scores)] + follower.finish()
    return sorted(tracks, key=lambda track: (track.clips[0], -track.scores[0]))


def assign(live: Sequence[Track], clip: int, boxes: Floats, scores: Floats, min_iou: float) -> dict[int, Track]:
    """detection -> track, at most one each: the assignment with the largest sum of IoU + score."""
    if not live or not len(boxes):
        return {}
    overlap = ious(np.stack([track.expected(clip) for track in live]), boxes)  # (tracks, N)
    allowed = overlap >= min_iou
    rows, columns = linear_sum_assignment(np.where(allowed, overlap + scores, 0.0), maximize=True)
    return {int(c): live[int(r)] for r, c in zip(rows, columns, strict=True) if allowed[r, c]}


def follow_greedy(clips: Clips, min_iou: float, max_gap: int) -> list[Track]:
    """Walks through the clips once; the track with the best mean score chooses first (Singh et al., ICCV 2017).

    It takes the best scored detection that overlaps its last box. What nobody takes begins a track of its own.
    """
    tracks: list[Track] = []
    for clip, (boxes, scores) in enumerate(clips):
        free = np.ones(len(boxes), bool)
        live = [track for track in tracks if clip - track.clips[-1] <= max_gap + 1]
        for track in sorted(live, key=lambda each: -float(np.mean(each.scores))):
            near = np.flatnonzero(free & (ious(track.boxes[-1][None], boxes)[0] >= min_iou))
            if len(near):
                track.see(clip, boxes[near[0]], float(scores[near[0]]))  # the first is the best
                free[near[0]] = False
        for index in np.flatnonzero(free):
            tracks.append(Track())
            tracks[-1].see(clip, boxes[index], float(scores[index]))
    return tracks


def follow_viterbi(clips: Clips, min_iou: float, max_gap: int) -> list[Track]:
    """The path of the largest sum of scores and IoUs through all clips, taken out, then the next, and so on.

    Gkioxari and Malik, CVPR 2015. A path begins and ends where it is best and steps over at most `max_gap` clips.
    """
    boxes = np.concatenate([boxes for boxes, _ in clips]) if clips else np.empty((0, 4))
    scores = np.concatenate([scores for _, scores in clips]) if clips else np.empty(0)
    clip_of = np.repeat(np.arange(len(clips)), [len(scores) for _, scores in clips])
    steps = all_steps(clips, min_iou, max_gap)
    free = np.ones(len(boxes), bool)
    tracks: list[Track] = []
    while free.any() and len(tracks) < MAX_PATHS:
        path = best_path(scores, steps, free)
        free[path] = False
        tracks.append(Track(clip_of[path].tolist(), list(boxes[path]), scores[path].tolist()))
    return tracks


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """From the detections of the clips before (P,) to those of one clip (N,): what a step is worth, -inf if too far."""

    before: Indices
    here: Indices
    worth: Floats  # (P, N)


def all_steps(clips: Clips, min_iou: float, max_gap: int) -> list[Steps]:
    """One for each clip; detections are numbered through all clips."""
    starts = np.cumsum([0, *(len(scores) for _, scores in clips)])
    steps = []
    for clip, (boxes, _) in enumerate(clips):
        first = max(clip - 1 - max_gap, 0)
        earlier = np.concatenate([clips[c][0] for c in range(first, clip)] or [np.empty((0, 4))])
        overlap = ious(earlier, boxes)
        before, here = np.arange(starts[first], starts[clip]), np.arange(starts[clip], starts[clip + 1])
        steps.append(Steps(before, here, np.where(overlap >= min_iou, overlap, -np.inf)))
    return steps


def best_path(scores: Floats, steps: Sequence[Steps], free: np.ndarray) -> list[int]:
    """The detections of the best path through those that are free."""
    total, came_from = np.where(free, scores, -np.inf), np.full(len(scores), -1)
    for step in steps:
        if len(step.before) and len(step.here):
            reached = total[step.before][:, None] + step.worth  # (P, N)
            best = reached.argmax(0)
            gain = reached[best, np.arange(len(step.here))]
            better = gain > 0
            total[step.here[better]] += gain[better]
            came_from[step.here[better]] = step.before[best[better]]
    path = [int(total.argmax())]
    while came_from[path[-1]] >= 0:
        path.append(int(came_from[path[-1]]))
    return path[::-1]


def ious(boxes: Floats, others: Floats) -> Floats:
    """(N, 4) and (M, 4) -> (N, M)."""
    overlap: Floats = box_iou(torch.from_numpy(boxes), torch.from_numpy(others)).numpy()
    return overlap
