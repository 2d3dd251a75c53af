"""video-mAP of the answers: every linker beside the oracles that know who is who, and when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stvr.metrics import oracle_link
from stvr.metrics.as_json import by_threshold, finite
from stvr.metrics.video_map import LabelledTubelet, VideoMAP, video_map
from stvr.structures import ClipSpec, Pair, Span, Tubelet
from stvr.tasks.pairs.answers import Known, PairAnswers
from stvr.tubelets import LINKERS, link

ORACLE, ORACLE_IN_TIME = "oracle", "oracle in time"
MIN_SECONDS, MAX_GAP_SECONDS = 2 / 3, 2 / 3  # of a tubelet, and of a gap that linkers fill


def tubelet_figures(known: Known, clip: ClipSpec) -> dict[str, Any]:
    """video-mAP of every linker, of the oracle that knows who is who, and of the one that also knows when.

    gap_to_oracle: what linking loses; gap_to_time: what the oracle gains by knowing when an action begins and ends.
    """
    options = {"min_clips": in_clips(MIN_SECONDS, clip), "max_gap": in_clips(MAX_GAP_SECONDS, clip)}
    truth = [
        LabelledTubelet(pair.label, in_video(target, str(number)))
        for number, (_, pair) in enumerate(known) for target in pair.targets
    ]  # fmt: skip
    results: dict[str, VideoMAP] = {}
    for name in (*LINKERS, ORACLE, ORACLE_IN_TIME):
        found = [
            LabelledTubelet(pair.label, tubelet)
            for number, (answer, pair) in enumerate(known)
            for tubelet in linked(name, answer, pair, str(number), options)
        ]
        results[name] = video_map(found, truth)
    return summary(results, len(truth))


def summary(results: Mapping[str, VideoMAP], num_true: int) -> dict[str, Any]:
    """results: by linker, the oracles among them."""
    best, in_time = results[ORACLE], results[ORACLE_IN_TIME]
    return {
        "tube_iou": best.tube_iou, "area": best.area, "min_seconds": MIN_SECONDS, "max_gap_seconds": MAX_GAP_SECONDS,
        "linkers": {
            name: {**by_threshold(each.mean), "0.5:0.95": finite(each.mean_50_95)} for name, each in results.items()
        },
        "gap_to_oracle": {name: by_threshold(gap(best, results[name])) for name in LINKERS},
        "gap_to_time": by_threshold(gap(in_time, best)),
        "per_label": {label: by_threshold(values) for label, values in results["online"].per_label.items()},
        "tubelets": {"true": num_true, **{name: sum(each.num_found.values()) for name, each in results.items()}},
    }  # fmt: skip


def gap(better: VideoMAP, other: VideoMAP) -> dict[float, float]:
    return {threshold: better.mean[threshold] - value for threshold, value in other.mean.items()}


def linked(name: str, answer: PairAnswers, pair: Pair, video: str, options: Mapping[str, int]) -> list[Tubelet]:
    """The tubelets of one answer; every pair counts as a video of its own, named `video`."""
    start = pair.reference.start
    if name in (ORACLE, ORACLE_IN_TIME):
        true = (*pair.targets, *pair.others)
        return oracle_link(answer.detections, true, video, start, in_time=name == ORACLE_IN_TIME, **options)
    return link(answer.detections, video, start, linker=name, **options)


def in_video(tubelet: Tubelet, video: str) -> Tubelet:
    return Tubelet(Span(video, tubelet.span.start, tubelet.span.stop), tubelet.boxes, tubelet.score)


def in_clips(seconds: float, clip: ClipSpec) -> int:
    return max(1, round(seconds * float(clip.clips_per_second)))
