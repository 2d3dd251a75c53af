"""The linker that knows who is who: what the best linker could make of the same detections."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from stvr.structures import LABEL_SAME, Detections, Tubelet
from stvr.tubelets.actors import actors
from stvr.tubelets.by_clip import boxes_by_clip
from stvr.tubelets.following import Clips, Track, follow_online, ious
from stvr.tubelets.geometry import tube_cover
from stvr.tubelets.linking import Scored, cut_in_time, fill, read_clip
from stvr.tubelets.overlaps import Floats


def oracle_link(
    detections: Sequence[Detections],
    true: Sequence[Tubelet],
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
    own_iou: float = 0.5,
    in_time: bool = False,
) -> list[Tubelet]:
    """As `link`, but detections are linked by the actor they lie on.

    true: all annotated tubelets of the reference, of any label. A detection belongs to one of them when their IoU in
    its clip is at least `own_iou`, one detection each. What belongs to nobody is linked online, as `link` does.
    in_time: tubelets also begin and end with the true action; without it they begin and end by their scores, as in
    `link`, so that linking is all this oracle knows better.
    """
    clips = [read_clip(clip, LABEL_SAME, min_score) for clip in detections]
    tracks, rest = by_identity(clips, true, start, own_iou)

    def cut_by_score(tracks: Sequence[Track]) -> list[Scored]:
        parts = [part for track in tracks for part in cut_in_time(fill(track, video, start), cut, None, max_gap)]
        return [part for part in parts if len(part.scores) >= min_clips]

    if in_time:
        kept = [fill(track, video, start) for track in tracks if track.clips]
    else:
        kept = cut_by_score(by_actor(tracks, true))
    strays = cut_by_score(follow_online(rest, min_iou, max_gap))
    for stray in sorted(strays, key=lambda each: -each.scores.sum()):
        if all(tube_cover(stray.tubelet, other.tubelet) <= nms_iou for other in kept):
            kept.append(stray)
    return best(kept, max_tubelets)


def best(kept: Sequence[Scored], number: int) -> list[Tubelet]:
    return sorted((each.tubelet for each in kept), key=lambda tubelet: -tubelet.score)[:number]


def by_identity(clips: Clips, true: Sequence[Tubelet], start: int, own_iou: float) -> tuple[list[Track], Clips]:
    """A track for each true tubelet, empty where it was not detected, and the detections that lie on none of them."""
    tracks: list[Track] = [Track() for _ in true]
    rest: list[tuple[Floats, Floats]] = []
    for clip, ((boxes, scores), here) in enumerate(zip(clips, boxes_by_clip(true, start, len(clips)), strict=True)):
        overlap = ious(here.boxes.double().numpy(), boxes)  # (true, detections)
        rows, columns = linear_sum_assignment(np.where(overlap >= own_iou, overlap, 0.0), maximize=True)
        free = np.ones(len(boxes), bool)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            if overlap[row, column] >= own_iou:
                tracks[here.owners[row]].see(clip, boxes[column], float(scores[column]))
                free[column] = False
        rest.append((boxes[free], scores[free]))
    return tracks, rest


def by_actor(tracks: Sequence[Track], true: Sequence[Tubelet]) -> list[Track]:
    """One track for each actor, the tracks of its tubelets joined in order of time."""
    whole: dict[int, Track] = defaultdict(Track)
    actors_of = actors(true)
    for index in sorted(range(len(true)), key=lambda each: true[each].span.start):
        track, actor = tracks[index], whole[actors_of[index]]
        actor.clips += track.clips
        actor.boxes += track.boxes
        actor.scores += track.scores
    return [track for track in whole.values() if track.clips]
