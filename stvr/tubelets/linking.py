"""Detections per clip become tubelets: followed, filled, cut in time, ranked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import median_filter

from stvr.structures import LABEL_SAME, Detections, Span, Tubelet
from stvr.tubelets.following import Clips, Track, follow_greedy, follow_online, follow_viterbi
from stvr.tubelets.geometry import of_label, tube_cover
from stvr.tubelets.overlaps import Floats

# (clips, min_iou, max_gap) -> tracks
LINKERS: Mapping[str, Callable[[Clips, float, int], list[Track]]] = {
    "greedy": follow_greedy,
    "viterbi": follow_viterbi,
    "online": follow_online,
}


def link(
    detections: Sequence[Detections],
    video: str,
    start: int,
    *,
    linker: str = "online",
    min_score: float = 0.05,
    min_iou: float = 0.3,
    max_gap: int = 2,
    min_clips: int = 2,
    cut: float = 0.5,
    nms_iou: float = 0.3,
    max_tubelets: int = 10,
) -> list[Tubelet]:
    """Where and when: the detections of class "same", clip by clip from clip `start` on, as tubelets, best first.

    A detection below `min_score` is not read. An actor is followed by IoU >= `min_iou`, as the `linker` of LINKERS does
    it; up to `max_gap` clips without a detection are filled by linear interpolation. A tubelet lasts
    where its score, after a median over three clips, is at least `cut` x its peak (see `cut_in_time`) and for at
    least `min_clips` clips. Of two that tell the same story (`nms_iou`, see `suppress`) one stays.
    The score of a tubelet is the mean of the scores of its clips, filled ones included.
    Which detection of a clip comes first does not matter.
    """
    if linker not in LINKERS:
        raise ValueError(f"{linker!r} is no linker; there are: {', '.join(LINKERS)}.")
    tracks = LINKERS[linker]([read_clip(clip, min_score) for clip in detections], min_iou, max_gap)
    tubelets = [
        tubelet
        for track in tracks
        for tubelet in cut_in_time(fill(track, video, start), cut, max_gap)
        if len(tubelet.scores) >= min_clips
    ]
    kept = suppress(tubelets, nms_iou)
    return sorted((each.tubelet for each in kept), key=lambda tubelet: -tubelet.score)[:max_tubelets]


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
    clips = np.arange(track.clips[0], track.clips[-1] + 1)
    seen = np.column_stack([np.stack(track.boxes), track.scores])  # (seen, 5)
    filled = np.column_stack([np.interp(clips, track.clips, column) for column in seen.T])
    return Scored.over(Span(video, start + int(clips[0]), start + int(clips[-1]) + 1), filled[:, :4], filled[:, 4])


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


def read_clip(detections: Detections, min_score: float) -> tuple[Floats, Floats]:
    """Boxes (N, 4) and scores (N,) of class "same" with at least `min_score`, best first."""
    same = of_label(detections, LABEL_SAME)
    scores = same.scores.detach().double().cpu().numpy()
    order = np.argsort(-scores, kind="stable")[: int((scores >= min_score).sum())]
    return same.boxes.detach().double().cpu().numpy()[order], scores[order]
