"""Annotated tubelets: a person's boxes for as long as the labels stay the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from stvr.annotations.rows import EDGES, Annotations, Label
from stvr.structures import ClipSpec, Span, Tubelet

Taken = Mapping[str, NDArray[np.bool_]]  # by video, which clips


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedTubelet:
    """A tubelet, the sorted ids of everything its person does in it, and the person's name in the video."""

    tubelet: Tubelet
    label: Label
    person: str

    @property
    def span(self) -> Span:
        return self.tubelet.span

    @property
    def video(self) -> str:
        return self.tubelet.span.video

    def within(self, span: Span) -> AnnotatedTubelet | None:
        """The part that lies in `span`, or None."""
        part = self.tubelet.within(span)
        return None if part is None else AnnotatedTubelet(part, self.label, self.person)


def link_annotations(annotations: Annotations, spec: ClipSpec | None = None) -> list[AnnotatedTubelet]:
    """The longest runs of clips through which a person keeps one label; a gap ends a run.

    A clip takes the box that stands at its middle. Sorted by video, person and time.
    """
    rows = annotations.boxes.sort_values(["video", "person", "start"], kind="stable")
    start, stop = _clip_edges(rows["start"].to_numpy(), rows["stop"].to_numpy(), spec or ClipSpec())
    seen = stop > start  # the others fall between the middles of two clips
    rows, start, stop = rows[seen], start[seen], stop[seen]
    if not len(rows):
        return []
    videos, persons, labels = (rows[column].tolist() for column in ("video", "person", "labels"))
    same = [a == b for a, b in zip(zip(videos, persons, labels, strict=True),
                                   zip(videos[1:], persons[1:], labels[1:], strict=True), strict=False)]
    breaks = np.flatnonzero(~(np.array(same, bool) & (start[1:] == stop[:-1]))) + 1
    boxes = rows[EDGES].to_numpy(np.float32)
    linked = []
    for run in np.split(np.arange(len(rows)), breaks):
        first, last = int(run[0]), int(run[-1])
        clips = torch.from_numpy(np.repeat(boxes[run], stop[run] - start[run], axis=0))  # (T, 4)
        span = Span(videos[first], int(start[first]), int(stop[last]))
        linked.append(AnnotatedTubelet(Tubelet(span, clips), labels[first], persons[first]))
    return linked


def trim(tubelets: Iterable[AnnotatedTubelet], extents: Mapping[str, Span]) -> list[AnnotatedTubelet]:
    """The parts of the tubelets within their video's extent; videos without an extent are dropped."""
    inside = (tubelet.within(extents[tubelet.video]) for tubelet in tubelets if tubelet.video in extents)
    return [tubelet for tubelet in inside if tubelet is not None]


def own_extents(tubelets: Iterable[AnnotatedTubelet]) -> dict[str, Span]:
    """From the first annotated clip of each video to the last."""
    extents: dict[str, Span] = {}
    for tubelet in tubelets:
        span, known = tubelet.span, extents.get(tubelet.video, tubelet.span)
        extents[tubelet.video] = Span(span.video, min(span.start, known.start), max(span.stop, known.stop))
    return extents


def cover(tubelets: Iterable[AnnotatedTubelet]) -> dict[str, NDArray[np.bool_]]:
    """By video, the clips in which there is any of the tubelets."""
    spans: dict[str, list[Span]] = {}
    for tubelet in tubelets:
        spans.setdefault(tubelet.video, []).append(tubelet.span)
    taken = {video: np.zeros(max(span.stop for span in inside), bool) for video, inside in spans.items()}
    for video, inside in spans.items():
        for span in inside:
            taken[video][span.start : span.stop] = True
    return taken


def free_runs(span: Span, taken: Taken) -> list[Span]:
    """The longest runs of clips in `span` that are not taken."""
    blocked = np.ones(len(span) + 2, bool)  # a wall at both ends
    blocked[1:-1] = False
    part = taken.get(span.video, np.zeros(0, bool))[span.start : span.stop]
    blocked[1 : 1 + len(part)] = part
    edges = np.flatnonzero(np.diff(blocked.astype(np.int8)))
    return [Span(span.video, span.start + int(a), span.start + int(b)) for a, b in edges.reshape(-1, 2)]


def cut(tubelets: Iterable[AnnotatedTubelet], taken: Taken) -> list[AnnotatedTubelet]:
    """The tubelets without the taken clips, each in as many pieces as are left of it."""
    pieces = (tubelet.within(run) for tubelet in tubelets for run in free_runs(tubelet.span, taken))
    return [piece for piece in pieces if piece is not None]


def _clip_edges(start: NDArray[np.float64], stop: NDArray[np.float64], spec: ClipSpec,
                ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The clips whose middle lies in [start, stop) seconds, as [first, after)."""
    half = spec.seconds_at(1) / 2
    times, where = np.unique(np.concatenate([start, stop]).astype(float), return_inverse=True)
    clips = np.array([-spec.index_at(half - time) for time in times], np.int64)[where]  # rounds up
    return clips[: len(start)], clips[len(start) :]
