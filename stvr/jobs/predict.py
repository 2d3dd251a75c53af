"""What class is a video? By a trained classifier, or by I3D's own last layer: the likeliest classes, best first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from stvr.backbones import Backbone, load_backbone
from stvr.backbones.kinetics import kinetics_400
from stvr.heads import ClassOptions
from stvr.render.people_video import render_classes
from stvr.session import Session
from stvr.session.session import CLIPS_AT_ONCE
from stvr.structures import ClipSpec, Span
from stvr.tasks.labels.judge import probabilities_of
from stvr.tasks.labels.segments import middle_steps
from stvr.tasks.labels.steps import time_steps
from stvr.texts import read_text
from stvr.video.decode import probe
from stvr.video.kinetics_windows import RATE, count_frames, window_starts, windows


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """Part of a video, in seconds of its own clock, and the probability of each class in it, (classes,)."""

    start: float
    stop: float
    probabilities: Tensor


class Predictor(Protocol):
    """classes: their names, in the order of the probabilities."""

    classes: Sequence[str]

    def segments(self, video: Path) -> Iterator[Segment]: ...


class ByNetwork:
    """I3D to its logits, over windows of 64 frames. most: windows of a video, spread evenly; None is all that fit."""

    def __init__(self, weights: Path | str, names: Path | None, most: int | None, device: str) -> None:
        self.backbone: Backbone = load_backbone("i3d", weights, "Logits", device=device, runtime="auto")
        self.most = most
        (logits,) = self.backbone.map_specs(ClipSpec())
        self.classes: Sequence[str] = class_names(logits.channels, names)

    def segments(self, video: Path) -> Iterator[Segment]:
        info = probe(video)
        starts = window_starts(count_frames(info), self.most)
        for start, clip in zip(starts, windows(info, starts), strict=False):
            logits = self.backbone(clip[None]).float().mean((0, 1, 2, 3))
            seconds = start / RATE + float(info.offset)
            yield Segment(seconds, seconds + len(clip) / RATE, logits.softmax(0).cpu())


class ByHead:
    """A trained classifier. parts: a video is cut into so many of equal length, each classified by itself."""

    def __init__(self, session: Session, parts: int) -> None:
        self.session, self.parts = session, parts
        options = session.loaded.options
        if not isinstance(options, ClassOptions):
            raise ValueError(f"the head {options.name!r} has no classes. Give a classifier, or ask this one with `stvr "
                             "locate`.")
        if self.session.reads.boxes:
            raise ValueError(f"the head {options.name!r} takes its regions from a detector, but files have no boxes. "
                             "Ask it with `stvr eval` about a store that has them, or train one with "
                             'proposals = "grid" under [head].')
        self.options: ClassOptions = options
        self.classes: Sequence[str] = options.classes

    def segments(self, video: Path) -> Iterator[Segment]:
        source = self.session.video(video)
        facts, clip = source.facts, self.session.spec.clip
        parts = min(self.parts, facts.num_clips)
        edges = [facts.num_clips * part // parts for part in range(parts + 1)]
        for start, stop in pairwise(edges):
            clips = source.clips(Span(facts.video, start, stop))
            read = [self._steps(each.maps) for each in clips.features(CLIPS_AT_ONCE)]
            if not read:  # the stream ends early
                return
            steps = {name: torch.cat([each[name] for each in read]) for name in read[0]}
            chosen = middle_steps(len(next(iter(steps.values()))), self.options.segments)
            maps = {name: each[chosen][None] for name, each in steps.items()}
            begin, end = (clip.seconds_at(edge) + facts.offset_seconds for edge in (start, stop))
            yield Segment(begin, end, probabilities_of(self.session.loaded.head, maps, self.session.device)[0])

    def _steps(self, maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
        steps = {each.endpoint: time_steps(maps[each.endpoint], each.steps) for each in self.session.spec.maps}
        if self.session.reads.cells:
            return steps
        return {name: each.mean((1, 2), keepdim=True) for name, each in steps.items()}


def predict(
    predictor: Predictor,
    videos: Mapping[str, Path],
    *,
    top: int = 5,
    each_segment: bool = False,
    places: Mapping[str, Path] | None = None,
    on_failure: Callable[[str, Exception], None] | None = None,
    report: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """{"results": {video: the `top` likeliest classes}}, as 3D-ResNets-PyTorch writes them, averaged over segments.

    each_segment: a list of those of every segment, with its seconds. places: where a video with the likeliest class of
    each segment written over it goes, by name; none without. on_failure is told of a video that cannot be read;
    without it the error is raised. report(videos done, videos) tells of progress.
    """
    results: dict[str, Any] = {}
    for number, (name, video) in enumerate(videos.items(), start=1):
        try:
            found = segments_of(predictor, video)
            if places:
                render_classes(video, [words_of(each, predictor.classes) for each in found], places[name])
        except (LookupError, ValueError, OSError) as error:
            if on_failure is None:
                raise
            on_failure(name, error)
            continue
        if each_segment:
            results[name] = [{"segment": [round(each.start, 3), round(each.stop, 3)],
                              "result": likeliest(each.probabilities, predictor.classes, top)} for each in found]
        else:
            mean = torch.stack([each.probabilities for each in found]).mean(0)
            results[name] = likeliest(mean, predictor.classes, top)
        if report:
            report(number, len(videos))
    return {"results": results}


def segments_of(predictor: Predictor, video: Path) -> list[Segment]:
    """All of a video; ValueError where nothing of it can be decoded."""
    found = list(predictor.segments(video))
    if not found:
        raise ValueError(f"{video}: nothing of it can be decoded.")
    return found


def words_of(segment: Segment, classes: Sequence[str]) -> tuple[float, float, str]:
    (best,) = likeliest(segment.probabilities, classes, 1)
    return segment.start, segment.stop, f"{best['label']}: {best['score']:.2f}"


def likeliest(probabilities: Tensor, classes: Sequence[str], top: int) -> list[dict[str, Any]]:
    scores, numbers = probabilities.topk(min(top, len(classes)))
    return [{"label": classes[number], "score": round(score, 6)}
            for number, score in zip(numbers.tolist(), scores.tolist(), strict=True)]


def class_names(number: int, names: Path | None) -> Sequence[str]:
    """Of a network with so many: those of a file, one a line; else Kinetics-400's, or numbers where it has others."""
    if names is None:
        return kinetics_400() if number == len(kinetics_400()) else [str(each) for each in range(number)]
    given = [line.strip() for line in read_text(names).splitlines() if line.strip()]
    if len(given) != number:
        raise ValueError(f"{names}: wanted the names of {number} classes, one a line, got {len(given)}. "
                         "Give the file that goes with the weights.")
    return given
