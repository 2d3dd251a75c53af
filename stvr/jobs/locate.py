"""Where and when: a query video with a box, and the tubelets in other videos that do the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stvr.backbones import Backbone, load_backbone
from stvr.extract.flow import Flow, flow_of
from stvr.files import whole
from stvr.heads import MatchingHead
from stvr.heads.checkpoint import Checkpoint, load_head, weights_beside
from stvr.store import FeatureSpec
from stvr.structures import ClipSpec, Detections, Query, Span, Tubelet
from stvr.tubelets import link, to_pixels
from stvr.video.decode import VideoInfo, probe
from stvr.video.reading import Clip, as_fed, read_clips

QUERY_SECONDS = 1.0  # of a query when no span is given: a second around the asked time
CLIPS_AT_ONCE = 8  # through backbone and second stage together


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """The tubelets found in one reference, best first, and what is needed to say them in seconds and pixels."""

    path: Path
    clip: ClipSpec
    width: int
    height: int
    duration_seconds: float
    tubelets: Sequence[Tubelet]

    def to_json(self) -> Iterator[dict[str, Any]]:
        """One object a tubelet: seconds, boxes in pixels of the picture as displayed, a score in [0, 1]."""
        for rank, tubelet in enumerate(self.tubelets, 1):
            span, boxes = tubelet.span, to_pixels(tubelet.boxes, self.width, self.height)
            yield {
                "reference": str(self.path),
                "rank": rank,
                "score": round(tubelet.score, 6),
                "start_seconds": self.clip.seconds_at(span.start),
                "stop_seconds": min(self.clip.seconds_at(span.stop), self.duration_seconds),
                "width": self.width,
                "height": self.height,
                "boxes": [
                    {"seconds": self.clip.seconds_at(clip), "box": [round(float(edge), 2) for edge in box]}
                    for clip, box in zip(range(span.start, span.stop), boxes, strict=True)
                ],
            }


def locate(
    checkpoint: Path | str,
    query: Path | str,
    box: Sequence[float],
    at: float,
    references: Sequence[Path | str],
    *,
    span: tuple[float, float] | None = None,
    weights: Path | None = None,
    flow_weights: Path | None = None,
    device: str = "cpu",
    on_failure: Callable[[Path, Exception], None] | None = None,
    report: Callable[[Path, int, int], None] | None = None,
) -> Iterator[Answer]:
    """Finds what the actor in `box` of the query does, in every reference; answers come one by one.

    box: x1, y1, x2, y2 in pixels of the query as displayed, or all in [0, 1] as shares of it. at: seconds. span: from
    when to when the actor does it, a second around `at` by default; the box stands still over it. weights: those the
    head's features were made with, unless they were analytic or lie beside a finetuned head; flow_weights: those of
    RAFT, where the head was trained on its flow. on_failure is told of a reference that cannot be read; without it the
    error is raised. report(path, clips done, clips) tells of progress.
    """
    loaded = load_head(checkpoint, device)
    backbone = backbone_of(loaded, weights_beside(checkpoint, loaded.spec, weights), device)
    flow = flow_of(loaded.spec, flow_weights, device) if loaded.head.propagation.needs_flow else None
    question = read_query(loaded, backbone, Path(query), box, at, span)
    for path in map(Path, references):
        try:
            yield answer(loaded, backbone, question, path, report, flow)
        except (ValueError, OSError) as error:
            if on_failure is None:
                raise
            on_failure(path, error)


def backbone_of(loaded: Checkpoint, weights: Path | None, device: str) -> Backbone:
    """The backbone that made the features which the head was trained on; refused when it is another."""
    spec = loaded.spec
    way = "Leave --weights out" if spec.weights == "analytic" else f"Give the file {spec.weights!r} with --weights"
    if weights is None and spec.weights != "analytic":
        raise ValueError(f"the head reads features that were made with weights. {way}.")
    backbone = load_backbone(spec.backbone, weights, spec.endpoint, device=device)
    if backbone.weights_digest != spec.weights_digest:
        raise ValueError(f"the head reads features of the weights {spec.weights!r} ({spec.weights_digest[:19]}), "
                         f"but {backbone.weights!r} are others ({backbone.weights_digest[:19]}). {way}.")
    return backbone


@torch.inference_mode()
def read_query(
    loaded: Checkpoint, backbone: Backbone, path: Path, box: Sequence[float], at: float,
    span: tuple[float, float] | None,
) -> Query:  # fmt: skip
    """The query's clips, pooled in the box: asked of many references."""
    spec, info = loaded.spec.clip, probe(path)
    clips = query_span(spec, info, at, span)
    edges = query_box(box, info)
    parts = [maps for maps, _ in feature_maps(backbone, path, loaded.spec, info, clips.start, clips.stop)]
    if not parts:
        raise ValueError(f"{path} cannot be decoded from {spec.seconds_at(clips.start):.2f} s on. "
                         "Give a query that lies before.")
    maps = torch.cat(parts)  # (Q, H, W, C); fewer than asked for where the stream ends early
    tubelet = Tubelet(Span(clips.video, clips.start, clips.start + len(maps)), edges.expand(len(maps), 4))
    regions = loaded.head.encode_query(maps[None], tubelet.boxes[None].to(maps.device))[0]
    return Query(tubelet, regions)


def query_span(spec: ClipSpec, info: VideoInfo, at: float, span: tuple[float, float] | None) -> Span:
    """The clips of the query; the time asked for must lie in the video, and in the span when there is one."""
    duration, num_clips = float(info.duration), info.count_clips(spec)
    start, stop = span or (max(0.0, at - QUERY_SECONDS / 2), at + QUERY_SECONDS / 2)
    if not 0 <= at <= duration:
        raise ValueError(f"--at {at:g} lies outside {info.path}, which lasts {duration:.2f} s.")
    if not (0 <= start < stop and start < duration and start <= at <= stop):
        raise ValueError(f"a query from {start:g} to {stop:g} s around {at:g} does not lie in {info.path}, "
                         f"which lasts {duration:.2f} s. Give --span START,STOP that holds --at.")
    clips = spec.span(info.path.stem, start, min(stop, duration))
    first = min(clips.start, num_clips - 1)  # the last clip may be a broken one
    return Span(clips.video, first, min(max(clips.stop, first + 1), num_clips))


def query_box(box: Sequence[float], info: VideoInfo) -> Tensor:
    """(4,) xyxy in [0, 1]. Shares when all four are at most 1, else pixels of the picture as displayed."""
    edges = torch.tensor([float(edge) for edge in box], dtype=torch.float64)
    if len(edges) != 4 or not edges.isfinite().all():
        raise ValueError(f"a box is four numbers X1,Y1,X2,Y2, not {list(box)}.")
    if (edges > 1).any():
        edges = edges / edges.new_tensor([info.width, info.height, info.width, info.height])
    inside = edges.clamp(0, 1)
    if not (inside[0] < inside[2] and inside[1] < inside[3]):
        raise ValueError(f"the box {','.join(f'{edge:g}' for edge in box)} has no area inside the picture of "
                         f"{info.width} x {info.height}. Give X1,Y1,X2,Y2 with X1 < X2 and Y1 < Y2.")
    return inside.float()


@torch.inference_mode()
def answer(
    loaded: Checkpoint, backbone: Backbone, query: Query, path: Path,
    report: Callable[[Path, int, int], None] | None = None, flow: Flow | None = None,
) -> Answer:  # fmt: skip
    """Streams one reference through backbone and head; memory does not grow with its length, but for its detections."""
    spec, info = loaded.spec.clip, probe(path)
    num_clips = info.count_clips(spec)
    detections: list[Detections] = []
    state: Any = None
    for maps, moved in feature_maps(backbone, path, loaded.spec, info, 0, num_clips, flow):
        found, state = detect(loaded.head, query, maps, state, moved)
        detections += found
        if report:
            report(path, len(detections), num_clips)
    tubelets = link(detections, path.stem, 0)
    return Answer(path, spec, info.width, info.height, float(info.duration), tubelets)


def detect(
    head: MatchingHead, query: Query, maps: Tensor, state: Any, flow: Tensor | None = None
) -> tuple[list[Detections], Any]:
    """The next clips (T, H, W, C) of a reference, flow (T, H, W, 2) -> detections and the state to go on from."""
    moved = None if flow is None else flow[None].to(maps.device)
    propagated, state = head.propagation.stream(head.adapter(maps[None]), state, moved)
    mask = torch.ones(1, len(query.regions), dtype=torch.bool, device=maps.device)
    outputs = head.match(propagated, head.propose(propagated), query.regions[None], mask)
    return head.detect(outputs), state


def feature_maps(
    backbone: Backbone, path: Path, spec: FeatureSpec, info: VideoInfo, start: int, stop: int,
    flow: Flow | None = None,
) -> Iterator[tuple[Tensor, Tensor | None]]:  # fmt: skip
    """Maps (N, H, W, time * C) and flow (N, H, W, 2), float32, for the clips [start, stop) of a file, a few at a time.

    Rounded to float16 on the way, as the store does, so that a file and its cached features give one answer.
    """
    waiting: list[Clip] = []
    for clip in read_clips(path, spec, start, info):
        waiting.append(clip)
        if len(waiting) == CLIPS_AT_ONCE or clip.number + 1 == stop:
            yield maps_of(backbone, waiting, spec, flow)
            waiting = []
        if clip.number + 1 == stop:
            return
    if waiting:  # a stream that ends before it said it would
        yield maps_of(backbone, waiting, spec, flow)


def maps_of(
    backbone: Backbone, clips: Sequence[Clip], spec: FeatureSpec, flow: Flow | None
) -> tuple[Tensor, Tensor | None]:
    features = backbone(as_fed(np.stack([clip.frames for clip in clips]), spec))  # (N, time, H, W, C)
    maps = features.permute(0, 2, 3, 1, 4).flatten(-2).half().float()
    if flow is None:
        return maps, None
    height, width = maps.shape[1:3]
    moved = np.stack([flow(clip.before, clip.frames, (height, width)) for clip in clips])
    return maps, torch.from_numpy(moved).float()


@dataclass(frozen=True, slots=True)
class LocateReport:
    """Where the tubelets were written, how many there are, and which references could not be read."""

    path: Path
    num_tubelets: int
    num_references: int
    failed: Mapping[str, str]


def locate_files(
    checkpoint: Path,
    query: Path,
    box: Sequence[float],
    at: float,
    references: Sequence[Path],
    out: Path,
    *,
    span: tuple[float, float] | None = None,
    weights: Path | None = None,
    flow_weights: Path | None = None,
    device: str = "cpu",
    on_answer: Callable[[Answer], None] | None = None,
    report: Callable[[Path, int, int], None] | None = None,
) -> LocateReport:
    """Locates and writes OUT/tubelets.jsonl, one tubelet a line, the best of all references first.

    on_answer is told of each reference's answer as it comes (to render it, say). A reference that cannot be read is
    left out and named in the report; when none can be read, ValueError says why.
    """
    failed: dict[str, str] = {}
    lines: list[dict[str, Any]] = []
    answers = locate(
        checkpoint, query, box, at, references, span=span, weights=weights, flow_weights=flow_weights, device=device,
        report=report, on_failure=lambda path, error: failed.__setitem__(str(path), str(error)),
    )  # fmt: skip
    count = 0
    for found in answers:
        count += 1
        lines += found.to_json()
        if on_answer:
            on_answer(found)
    if not count:
        raise ValueError(f"no reference could be read: {next(iter(failed.values()), 'none was given')}")
    return LocateReport(write_lines(out, lines), len(lines), count, failed)


def write_lines(out: Path, lines: Sequence[Mapping[str, Any]]) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    path = out / "tubelets.jsonl"
    ranked = sorted(lines, key=lambda each: -each["score"])
    with whole(path) as partial:
        partial.write_text("".join(json.dumps(line) + "\n" for line in ranked))
    return path
