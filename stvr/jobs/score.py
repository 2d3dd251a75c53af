"""Scores anybody's detections against ground truth, without a model. Every figure is in [0, 1], NaN is null."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stvr.annotations.ava import read_excluded, read_label_map
from stvr.annotations.ava_detections import EVALUATORS, AvaBoxes, read_ava_boxes
from stvr.annotations.tubelets_file import read_labelled_tubelets
from stvr.labels import label_text
from stvr.metrics.as_json import by_threshold, finite
from stvr.metrics.ava_frame_map import IOU, Keyframe, ava_frame_map, mean_ap
from stvr.metrics.average_precision import numpy_reversed
from stvr.metrics.frame_map import METRIC_VERSION, THRESHOLDS, ClipRecord, PairRecord, frame_map
from stvr.metrics.video_map import VIDEO_THRESHOLDS, LabelledTubelet, video_map
from stvr.texts import read_json
from stvr.video_names import ByVideo

CLIPS_A_SECOND = 3  # in the released program
SAME = 1  # its class for detections that do what the query does
SHARES_END = 2.0  # an edge above this is in pixels
HEADLINE = 0.5  # the IoU in the tables of Feng et al.


def score_ava(
    ground_truth: Path,
    detections: Path,
    labels: Path,
    exclude: Path | None = None,
    *,
    evaluator: str = "official",
    max_per_frame: int | None = None,
) -> dict[str, Any]:
    """AVA's frame-mAP of a CSV of detections, as one of EVALUATORS counts it.

    labels: the classes that count, .pbtxt in either dialect. exclude: a CSV of keyframes that are ignored.
    max_per_frame: how many rows of a keyframe count, best first; 0 counts all; None: as many as for the evaluator.
    Raises: LookupError for another evaluator; ValueError where no detection could match any true box.
    """
    if evaluator not in EVALUATORS:
        raise LookupError(f"there is no evaluator {evaluator!r}. Choose one of {', '.join(EVALUATORS)}.")
    rules = EVALUATORS[evaluator]
    most = rules.max_per_frame if max_per_frame is None else max_per_frame
    if most and not rules.max_per_frame:
        raise ValueError(f"{evaluator} counts all rows of a keyframe. Leave --max-per-frame out.")
    names = read_label_map(labels)
    truth = read_ava_boxes(ground_truth, names, rules)
    videos: ByVideo[None] = ByVideo({video: None for video, _ in truth.listed})
    found = read_ava_boxes(detections, names, rules, most, videos)
    check_keyframes(found, truth, detections)
    excluded = {(videos.name(video) or video, second) for video, second in read_excluded(exclude)} if exclude else set()
    listed = None if rules.counts_unlisted else set(truth.listed)
    actions = ava_frame_map(found.boxes, truth.boxes, names, excluded, listed)
    shared, ignored = set(found.listed) & set(truth.listed), set(found.listed) - set(truth.listed)
    notes = [*truth.notes, *found.notes]
    if ignored:
        first = next(key for key in found.listed if key in ignored)
        notes.append(f"{len(ignored)} of {len(found.listed)} keyframes of {detections.name} are not in the ground "
                     f"truth (first: {written(first)}): {'false' if rules.counts_unlisted else 'left out'}")
    if not any(action.num_right for action in actions.values()):
        notes.append(f"no detection of {detections.name} overlaps a true box of its keyframe and class by {IOU:g}: are "
                     "its boxes x1, y1, x2, y2, as shares?")
    return {
        "metric": "AVA frame-mAP",
        "metric_version": METRIC_VERSION,
        "mAP": finite(mean_ap(actions)),
        "per_action": {name: finite(actions[label].average_precision) for label, name in unique(names).items()},
        "support": {
            name: {"boxes": actions[label].num_truth, "detections": actions[label].num_detections,
                   "matched": actions[label].num_right}
            for label, name in unique(names).items()
        },
        "keyframes": {"ground_truth": len(truth.listed), "detections": len(found.listed), "both": len(shared)},
        "notes": notes,
        "settings": {
            "evaluator": evaluator, "iou": IOU, "classes": len(names), "excluded_keyframes": len(excluded),
            "max_per_frame": most, "rows": {"ground_truth": len(truth.boxes), "detections": len(found.boxes)},
        },
    }  # fmt: skip


def check_keyframes(found: AvaBoxes, truth: AvaBoxes, detections: Path) -> None:
    """ValueError where no detection is at a keyframe of the ground truth."""
    if not len(truth.boxes):
        raise ValueError("the ground truth holds no box of a class that --labels names. Check both files.")
    if not found.listed:
        raise ValueError(f"{detections.name} holds no row. Wanted video,second,x1,y1,x2,y2,action_id,score.")
    if not len(found.boxes):
        raise ValueError(f"{detections.name} holds no detection of a class that --labels names. Check both files.")
    if not set(found.boxes.keyframes) & set(truth.listed):
        number = len(set(found.boxes.keyframes))
        raise ValueError(f"none of {number} keyframes is in the ground truth (first: "
                         f"{written(found.boxes.keyframes[0])}; wanted such as {written(truth.boxes.keyframes[0])}). "
                         "Use its names of videos and its seconds.")


def written(keyframe: Keyframe) -> str:
    """As in AVA's files: "film,0902"."""
    return f"{keyframe[0]},{keyframe[1]:04d}"


def score_released(case: Path) -> dict[str, Any]:
    """frame-mAP of a dump of the released program (JSON with its pairs and detections), as that program counts it."""
    content = read_json(case)
    if not isinstance(content, dict):
        raise ValueError(f"{case.name}: wanted one JSON object, got a {type(content).__name__}.")
    try:
        records = released_records(content)
    except (KeyError, IndexError, TypeError, ValueError, RuntimeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{case.name} is not a dump of the released program ({type(error).__name__}: {error}). Wanted "
                         '"pairs", each of a query with "label" and a reference with "gt", and "detections" for each '
                         "pair.") from None
    thresholds = sorted({*THRESHOLDS, *map(float, content.get("expected", {}))})
    result = frame_map(records, thresholds, numpy_reversed)
    return {
        **{
            f"{threshold:g}": {
                "per_label": {label: finite(values[threshold]) for label, values in result.per_label.items()},
                "mAP": finite(result.mean.get(threshold, math.nan)),
            }
            for threshold in thresholds
        },
        "mAP": finite(result.mean.get(HEADLINE, math.nan)),
        "metric": "frame-mAP of the released program",
        "metric_version": METRIC_VERSION,
        "support": {"pairs": dict(result.pairs), "boxes": dict(result.boxes)},
        "settings": {"mAP_at": HEADLINE, "clips_a_second": CLIPS_A_SECOND},
    }


def released_records(content: Mapping[str, Any]) -> list[PairRecord]:
    """The dump has truth for every second and detections for every clip, three a second; a clip may have none."""
    records = []
    for (query, reference), found in zip(content["pairs"], content["detections"], strict=True):
        clips = []
        for index in range(max(CLIPS_A_SECOND * len(reference["gt"]), len(found["num_detections"]))):
            boxes, scores = released_detections(found, index)
            truth = torch.tensor(reference["gt"][index // CLIPS_A_SECOND], dtype=torch.float64).reshape(-1, 4)
            clips.append(ClipRecord(boxes, scores, truth))
        records.append(PairRecord(label_text(query["label"]), clips))
    return records


def released_detections(found: Mapping[str, Any], clip: int) -> tuple[Tensor, Tensor]:
    """Boxes (N, 4) and scores (N,) of class "same" in one clip, best first; rows after `num_detections` are padding."""
    if clip >= len(found["num_detections"]):
        return torch.empty(0, 4), torch.empty(0)
    number = int(found["num_detections"][clip])
    same = torch.tensor(found["detection_classes"][clip][:number]) == SAME
    boxes = torch.tensor(found["detection_boxes"][clip][:number], dtype=torch.float64).reshape(-1, 4)[same]
    scores = torch.tensor(found["detection_scores"][clip][:number], dtype=torch.float64)[same]
    order = torch.from_numpy(numpy_reversed(scores.numpy()).copy())  # its suppression, at IoU 1, only sorts
    return boxes[order], scores[order]


def score_video(
    ground_truth: Path,
    detections: Path,
    thresholds: Sequence[float] = VIDEO_THRESHOLDS,
    *,
    tube_iou: str = "temporal_x_spatial",
    area: str = "all_point",
    inclusive: bool = False,
) -> dict[str, Any]:
    """video-mAP of linked tubelets at every threshold; "mAP" is that of the first.

    inclusive: boxes are in pixels and include their last row and column, as in MultiSports and JHMDB.
    """
    truth = read_labelled_tubelets(ground_truth, inclusive)
    videos: ByVideo[None] = ByVideo({each.tubelet.span.video: None for each in truth})
    found = [as_named(each, videos) for each in read_labelled_tubelets(detections, inclusive)]
    check_tubelets(found, truth, detections)
    result = video_map(found, truth, thresholds, tube_iou=tube_iou, area=area)
    return {
        "metric": "video-mAP",
        "metric_version": METRIC_VERSION,
        "mAP": finite(result.mean[thresholds[0]]),
        "mAP_at": by_threshold(result.mean),
        "mAP_50_95": finite(result.mean_50_95),
        "per_label": {label: by_threshold(values) for label, values in result.per_label.items()},
        "support": {
            label: {"tubelets": result.num_truth[label], "detections": result.num_found[label],
                    "matched": result.num_right[label]}
            for label in result.per_label
        },
        "notes": notes_on(found, truth, detections, sum(result.num_right.values())),
        "settings": {"tube_iou": tube_iou, "area": area, "inclusive_pixels": inclusive},
    }  # fmt: skip


def as_named(each: LabelledTubelet, videos: ByVideo[None]) -> LabelledTubelet:
    """The tubelet with the ground truth's name of its video."""
    span = each.tubelet.span
    named = replace(span, video=videos.name(span.video) or span.video)
    return LabelledTubelet(each.label, replace(each.tubelet, span=named))


def check_tubelets(found: Sequence[LabelledTubelet], truth: Sequence[LabelledTubelet], detections: Path) -> None:
    """ValueError where no detection could match: another label or video, or boxes in other units."""
    if not truth:
        raise ValueError("the ground truth holds no tubelet, so nothing can be right. Check the file.")
    if not found:
        raise ValueError(f"{detections.name} holds no tubelet. Check the file.")
    theirs = {place_of(each) for each in truth}
    if not any(place_of(each) in theirs for each in found):
        raise ValueError(f"none of {len(found)} tubelets has a label and a video of the ground truth (first: "
                         f"{' in '.join(place_of(found[0]))}; wanted such as {' in '.join(place_of(truth[0]))}). Use "
                         "its names, capitals included.")
    largest, wanted = (max(float(each.tubelet.boxes.max()) for each in some) for some in (found, truth))
    if (largest > SHARES_END) != (wanted > SHARES_END):
        raise ValueError(f"{detections.name} has boxes up to {largest:g}, the ground truth up to {wanted:g}: one has "
                         "shares of the picture, the other pixels. Give both in one unit.")


def notes_on(found: Sequence[LabelledTubelet], truth: Sequence[LabelledTubelet], detections: Path,
             num_right: int) -> list[str]:
    """Lines on what cannot match, or looks wrong."""
    theirs, notes = {place_of(each) for each in truth}, []
    if lost := [each for each in found if place_of(each) not in theirs]:
        notes.append(f"{len(lost)} of {len(found)} tubelets of {detections.name} have no label and video of the ground "
                     f"truth (first: {' in '.join(place_of(lost[0]))}): false")
    if not num_right:
        notes.append(f"no tubelet of {detections.name} is right at the first threshold: are its boxes x1, y1, x2, y2, "
                     "and its frames those of the ground truth?")
    if len({each.tubelet.score for each in found}) == 1 < len(found):
        notes.append(f"all tubelets of {detections.name} have one score: they rank in the order of the file")
    return notes


def place_of(each: LabelledTubelet) -> tuple[str, str]:
    return each.label, each.tubelet.span.video


def unique(names: Mapping[int, str]) -> dict[int, str]:
    """Names that can be keys: actions that share a name get their ids added."""
    listed = list(names.values())
    return {label: name if listed.count(name) == 1 else f"{name} ({label})" for label, name in sorted(names.items())}
