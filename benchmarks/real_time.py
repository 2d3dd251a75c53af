"""When, by one example: the actions of an actor of Weizmann joined into one video, asked with another actor's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
from real_clips import RealClip
from real_questions import Outcome, average_precision, query_of

from stvr.session import Session
from stvr.structures import ClipSpec, Query, Span, Tubelet
from stvr.tubelets import link
from stvr.video.decode import decode_clips
from stvr.video.encode import write_video

SET = "Weizmann"
SMALL = ClipSpec(image_size=64)  # as the clips are
RIGHT = 0.5  # temporal IoU


@dataclass(frozen=True, slots=True)
class Joined:
    """A video, its actor, and the span of each action."""

    path: Path
    group: str
    spans: Mapping[str, Span]


def join_actors(clips: Sequence[RealClip], folder: Path) -> list[Joined]:
    """One video an actor, named by its clips: the actions one after another; whole clips alone."""
    folder.mkdir(parents=True, exist_ok=True)
    joined = []
    for group in sorted({clip.group for clip in clips if clip.kind == SET}):
        own = sorted((clip for clip in clips if clip.group == group and clip.kind == SET), key=lambda clip: clip.label)
        parts = " ".join(f"{clip.name} {clip.num_clips}" for clip in own)
        path, spans, start = folder / f"joined_{group}_{crc32(parts.encode()):08x}.mp4", {}, 0
        for clip in own:
            spans[clip.label] = Span(path.stem, start, start + clip.num_clips)
            start += clip.num_clips
        if not path.is_file():
            frames = (frames for clip in own for index, frames, _ in decode_clips(clip.path, SMALL)
                      if index < clip.num_clips)  # fmt: skip
            write_video(path, frames, SMALL.fps, SMALL.image_size)
        joined.append(Joined(path, group, spans))
    return joined


def when(session: Session, clips: Sequence[RealClip], joined: Sequence[Joined]) -> list[Outcome]:
    """The middle half of every actor's every action, asked of the videos of the others that show it."""
    outcomes = []
    for clip in (each for each in clips if each.kind == SET):
        query = query_of(session, middle_half(clip.longest))
        for video in joined:
            if video.group != clip.group and clip.label in video.spans:
                outcomes.append(Outcome(clip, figures(session, query, video, video.spans[clip.label])))
    return outcomes


def middle_half(tubelet: Tubelet) -> Tubelet:
    length = max(1, len(tubelet.span) // 2)
    start = tubelet.span.start + (len(tubelet.span) - length) // 2
    part = tubelet.within(Span(tubelet.span.video, start, start + length))
    assert part is not None
    return part


def figures(session: Session, query: Query, video: Joined, truth: Span) -> dict[str, float]:
    """Clip AP of the best score in each clip; temporal IoU of the first answer."""
    assert session.store is not None
    name = video.path.stem
    source = session.video(name).clips(Span(name, 0, session.store.num_clips(name)))
    detections = session.detections(query, source)
    best = np.array([float(each.scores[0]) if len(each.scores) else 0.0 for each in detections])
    inside = [truth.start <= int(clip) < truth.stop for clip in np.argsort(-best, kind="stable")]
    answers = link(detections, name, 0, contrast=session.head.time_contrast)
    shared = answers[0].span.overlap(truth) if answers else None
    overlap = len(shared) / (len(answers[0].span) + len(truth) - len(shared)) if shared else 0.0
    return {"clip AP": average_precision(inside, sum(inside)), "temporal IoU": overlap,
            "temporal IoU >= .5": float(overlap >= RIGHT)}  # fmt: skip
