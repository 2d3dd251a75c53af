"""What is asked of real clips, and what comes of it: which, given true boxes; where and which, given none."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from real_clips import RealClip
from torch import Tensor

from stvr.heads.nearest import NearestHead, nearest_cosines
from stvr.metrics.tube_overlap import Flat, overlaps, temporal_x_spatial
from stvr.session import Session
from stvr.structures import Detections, Features, Query, Span, Tubelet
from stvr.tubelets import link

RIGHT = 0.5  # tube IoU from which an answer is in the right place
EVERYTHING = torch.tensor([[0.0, 0.0, 1.0, 1.0]])

Answers = Callable[[Session, Query, str], list[Tubelet]]  # of one question of a video in the session's store


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one query: who asked, and figures in [0, 1] by name."""

    clip: RealClip
    figures: dict[str, float]


def askers(clips: Sequence[RealClip]) -> list[RealClip]:
    """Those whose class another group shows too."""
    return [one for one in clips if any(other.is_like(one) for other in clips)]


def average_precision(right: Sequence[bool], total: int) -> float:
    """Of a ranking, best first, in which `total` right ones could stand."""
    found = np.cumsum(right)
    return float((found / np.arange(1, len(right) + 1) * np.asarray(right)).sum() / max(total, 1))


def retrieval(session: Session, clips: Sequence[RealClip], *, second: bool, whole: bool) -> list[Outcome]:
    """Every clip of a video is a vector: the true box of the longest tubelet, pooled on the map that is matched on.

    A video is worth the mean over its clips of the cosine with the query's nearest clip, as the head scores them.
    second: the query is one, else all of its tubelet. whole: the picture takes the place of the box.
    """
    asked = {clip.name: described(session, clip.example if second else clip.longest, whole) for clip in clips}
    kept = {clip.name: described(session, clip.longest, whole) for clip in clips}
    outcomes = []
    for one in askers(clips):
        others = [clip for clip in clips if clip.group != one.group]
        scores = [float(nearest_cosines(kept[clip.name], asked[one.name]).mean()) for clip in others]
        right = [others[place].is_like(one) for place in np.argsort(-np.array(scores), kind="stable")]
        figures = {"rank-1": float(right[0]), "mAP": average_precision(right, sum(right))}
        outcomes.append(Outcome(one, figures))
    return outcomes


def described(session: Session, tubelet: Tubelet, whole: bool) -> Tensor:
    """(clips, C)."""
    assert isinstance(session.head, NearestHead)
    shown = Tubelet(tubelet.span, EVERYTHING.expand(len(tubelet.span), 4)) if whole else tubelet
    regions: Tensor = query_of(session, shown).regions["what"]
    return regions


def query_of(session: Session, tubelet: Tubelet) -> Query:
    assert session.store is not None
    return session.pooled(tubelet, Features(session.store.read_features(tubelet.span, session.spec.endpoints).maps))


def by_the_head(session: Session, query: Query, video: str) -> list[Tubelet]:
    assert session.store is not None
    return session.tubelets(query, session.video(video).clips(Span(video, 0, session.store.num_clips(video))))


def the_whole_picture(session: Session, query: Query, video: str) -> list[Tubelet]:
    """Where nobody looks for boxes: the picture, scored as the head scores a box, from beginning to end as it lasts."""
    assert session.store is not None
    found: list[Detections] = []
    with torch.inference_mode():
        for look in session.looks_at(session.store, Span(video, 0, session.store.num_clips(video))):
            scores = session.head.score_boxes(look, query, [EVERYTHING] * len(look)) or []
            found += [Detections(EVERYTHING, each, torch.full((1,), 2)) for each in scores]
    return link(found, video, 0)


def localisation(
    session: Session, clips: Sequence[RealClip], answer: Answers = by_the_head, asking: Sequence[RealClip] | None = None
) -> tuple[list[Outcome], float]:
    """Each query asked of every video of another group; and the seconds that a question of one kept reference takes.

    asking: whose queries; None is all that have a partner.
    """
    outcomes, seconds, asked = [], 0.0, 0
    asking = askers(clips) if asking is None else asking
    for number, one in enumerate(asking):
        print(f"{number}/{len(asking)} {one.name}", file=sys.stderr, flush=True)
        query, answers = query_of(session, one.example), []
        for other in clips:
            if other.group == one.group:
                continue
            begun = time.perf_counter()
            found = answer(session, query, other.name)
            if number:  # the first question's time is mostly that of the looks
                seconds, asked = seconds + time.perf_counter() - begun, asked + 1
            answers += [(each, other, best_iou(each, other)) for each in found]
        outcomes.append(Outcome(one, judged(one, clips, answers)))
    return outcomes, seconds / max(asked, 1)


def judged(
    one: RealClip, clips: Sequence[RealClip], answers: list[tuple[Tubelet, RealClip, tuple[float, int]]]
) -> dict[str, float]:
    """Figures of the answers of one query over all references, distractors among them."""
    answers = sorted(answers, key=lambda each: -each[0].score)
    partners = [clip for clip in clips if clip.is_like(one)]
    first = {clip.name: next((iou for _, other, (iou, _) in answers if other is clip), 0.0) for clip in partners}
    taken, right = set[tuple[str, int]](), []
    for _, other, (iou, place) in answers:
        is_right = other.is_like(one) and iou >= RIGHT and (other.name, place) not in taken
        taken |= {(other.name, place)} if is_right else set()
        right.append(is_right)
    best, top_iou = (answers[0][1], answers[0][2][0]) if answers else (None, 0.0)
    action = best is not None and best.is_like(one)
    return {
        "right video given: first box right": float(np.mean([iou >= RIGHT for iou in first.values()])),
        "right video given: tube IoU": float(np.mean(list(first.values()))),
        "all videos: action right": float(action),
        "all videos: action and tube right": float(action and top_iou >= RIGHT),
        "all videos: mAP": average_precision(right, sum(len(clip.tubelets) for clip in partners)),
    }


def best_iou(found: Tubelet, clip: RealClip) -> tuple[float, int]:
    """The tube IoU with the best of the true tubelets, and which that is."""
    truth = Flat.of(clip.tubelets)
    zeros, every = np.zeros(len(clip.tubelets), np.int64), np.arange(len(clip.tubelets))
    ious = temporal_x_spatial(overlaps(Flat.of([found]), truth, zeros, every))
    return float(ious.max()), int(ious.argmax())
