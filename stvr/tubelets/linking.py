"""Detections per clip become tubelets: followed, filled, cut in time, ranked; all at once, or as the clips come."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import median_filter

from stvr.structures import LABEL_SAME, Detections, Span, Tubelet
from stvr.tubelets.following import Clips, OnlineFollower, Track, follow_greedy, follow_online, follow_viterbi
from stvr.tubelets.geometry import of_label, tube_cover
from stvr.tubelets.overlaps import Floats

MIN_SCORE, MIN_IOU, MAX_GAP, MIN_CLIPS, CUT = 0.05, 0.3, 2, 2, 0.5  # see `link`
LOW, UP = 0.1, 0.7  # see `cut_in_time`

# (clips, min_iou, max_gap) -> tracks
LINKERS: Mapping[str, Callable[[Clips, float, int], list[Track]]] = {
    "greedy": follow_greedy,
    "viterbi": follow_viterbi,
    "online": follow_online,
}


class OnlineLinker:
    """One clip at a time: every tubelet as soon as it has ended. Memory grows with what is live, not with time.

    Each tubelet is one that `link` with the linker "online" and the same options finds, before tube NMS: of two that
    tell the same story both come, since the better one may be the later. longest: clips after which a track ends, so
    that memory is bounded where somebody never goes away; None never ends one.
    """

    def __init__(
        self, video: str, start: int = 0, *, label: int = LABEL_SAME, min_score: float = MIN_SCORE,
        min_iou: float = MIN_IOU, max_gap: int = MAX_GAP, min_clips: int = MIN_CLIPS, cut: float = CUT,
        contrast: float | None = None, longest: int | None = None,
    ) -> None:  # fmt: skip
        self.video, self.start, self.label, self.min_score = video, start, label, min_score
        self.max_gap, self.min_clips, self.cut, self.contrast = max_gap, min_clips, cut, contrast
        self.follower = OnlineFollower(min_iou, max_gap, longest)

    def step(self, detections: Detections) -> list[Tubelet]:
        """Takes the next clip; gives the tubelets that have ended before it."""
        return self.tubelets(self.follow(detections))

    def finish(self) -> list[Tubelet]:
        """The tubelets that lasted to the end."""
        return self.tubelets(self.follower.finish())

    def follow(self, detections: Detections) -> list[Track]:
        """Takes the next clip; gives the tracks that have ended before it."""
        return self.follower.step(*read_clip(detections, self.label, self.min_score))

    def tubelets(self, tracks: Sequence[Track]) -> list[Tubelet]:
        """What of tracks that have ended lasts."""
        least = min(self.min_clips, self.follower.clip)
        scored = as_tubelets(tracks, self.video, self.start, self.cut, self.contrast, self.max_gap, least)
        return [each.tubelet for each in scored]

    def held(self, track: Track) -> tuple[int, int, float] | None:
        """Of a track that may go on, as far as it is known: the run that holds its last clip, first and last of it.

        In clips of the track, and its mean score. None where the last clip is in none, or it is too short.
        """
        scores = filled(track, np.array(track.scores)[:, None])[:, 0]
        first, last = runs_in_time(scores, self.cut, self.contrast, self.max_gap)[-1]
        if last < len(scores) - 1 or last + 1 - first < self.min_clips:
            return None
        return first, last, float(scores[first : last + 1].mean())


def link(
    detections: Sequence[Detections],
    video: str,
    start: int,
    *,
    label: int = LABEL_SAME,
    linker: str = "online",
    min_score: float = MIN_SCORE,
    min_iou: float = MIN_IOU,
    max_gap: int = MAX_GAP,
    min_clips: int = MIN_CLIPS,
    cut: float = CUT,
    contrast: float | None = None,
    nms_iou: float = 0.3,
    max_tubelets: int = 10,
) -> list[Tubelet]:
    """Where and when: the detections of one label, clip by clip from clip `start` on, as tubelets, best first.

    A detection below `min_score` is not read. An actor is followed by IoU >= `min_iou`, as the `linker` of LINKERS does
    it; up to `max_gap` clips without a detection are filled by linear interpolation. A tubelet lasts where its score,
    after a median over three clips, is at least `cut` x its peak, or more with a `contrast` (see `cut_in_time`), and
    for at least `min_clips` clips, or all of a shorter reference. Of two that tell the same story (`nms_iou`, see
    `suppress`) one stays.
    The score of a tubelet is the mean of the scores of its clips, filled ones included.
    Which detection of a clip comes first does not matter.
    """
    if linker not in LINKERS:
        raise ValueError(f"{linker!r} is no linker; there are: {', '.join(LINKERS)}.")
    tracks = LINKERS[linker]([read_clip(clip, label, min_score) for clip in detections], min_iou, max_gap)
    least = min(min_clips, len(detections))
    kept = suppress(as_tubelets(tracks, video, start, cut, contrast, max_gap, least), nms_iou)
    return sorted((each.tubelet for each in kept), key=lambda tubelet: -tubelet.score)[:max_tubelets]


def as_tubelets(
    tracks: Sequence[Track], video: str, start: int, cut: float, contrast: float | None, max_gap: int, min_clips: int
) -> list[Scored]:
    """What of each track lasts, filled and cut in time."""
    return [
        tubelet
        for track in tracks
        for tubelet in cut_in_time(fill(track, video, start), cut, contrast, max_gap)
        if len(tubelet.scores) >= min_clips
    ]


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


def fill(track: Track, video: str, start: int) -> Scored:
    """Every clip from the first to the last one seen, gaps filled on a straight line."""
    every = filled(track, np.column_stack([np.stack(track.boxes), track.scores]))
    return Scored.over(Span(video, start + track.clips[0], start + track.clips[-1] + 1), every[:, :4], every[:, 4])


def filled(track: Track, seen: Floats) -> Floats:
    """What is known of the clips where a track was seen (seen, K), of every clip between, (T, K)."""
    clips = np.arange(track.clips[0], track.clips[-1] + 1)
    return np.column_stack([np.interp(clips, track.clips, column) for column in seen.T])


def cut_in_time(track: Scored, cut: float, contrast: float | None, max_gap: int) -> list[Scored]:
    """When does it happen? The parts of a track in the runs of `runs_in_time`."""
    return [track.part(first, last) for first, last in runs_in_time(track.scores, cut, contrast, max_gap)]


def runs_in_time(scores: Floats, cut: float, contrast: float | None, max_gap: int) -> list[tuple[int, int]]:
    """The runs of clips whose score, a median over three clips, is at least `cut` x the peak: first and last of each.

    contrast: of a track whose scores span more than that, from its LOW quantile to its peak, they are at least UP of
    the way from the one to the other as well: somebody does it for a part of the time. None for no such rule.
    The median keeps edges where they are and lets no single clip begin or end an answer. A dip of at most `max_gap`
    clips does not part a run. An actor who does it twice gives two tubelets.
    """
    smooth = median_filter(scores, size=3, mode="nearest")
    peak = smooth.max()
    least = cut * peak
    if contrast is not None and peak - (low := np.quantile(smooth, LOW)) > contrast:
        least = max(least, low + UP * (peak - low))
    held = np.flatnonzero(smooth >= least)
    runs = np.split(held, np.flatnonzero(np.diff(held) > max_gap + 1) + 1)
    return [(int(run[0]), int(run[-1])) for run in runs]


def suppress(tubelets: Sequence[Scored], nms_iou: float) -> list[Scored]:
    """Tube NMS: the one with the largest sum of scores stays, those that `tube_cover` it above `nms_iou` go.

    The sum, not the mean, so that a lucky clip does not remove the long tubelet of the same actor.
    """
    kept: list[Scored] = []
    for candidate in sorted(tubelets, key=lambda each: -each.scores.sum()):
        if all(tube_cover(candidate.tubelet, other.tubelet) <= nms_iou for other in kept):
            kept.append(candidate)
    return kept


def read_clip(detections: Detections, label: int, min_score: float) -> tuple[Floats, Floats]:
    """Boxes (N, 4) and scores (N,) of one label with at least `min_score`, best first."""
    same = of_label(detections, label)
    scores = same.scores.detach().double().cpu().numpy()
    order = np.argsort(-scores, kind="stable")[: int((scores >= min_score).sum())]
    return same.boxes.detach().double().cpu().numpy()[order], scores[order]
