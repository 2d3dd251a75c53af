"""Scores anybody's detections against ground truth, without a model. Every figure is in [0, 1], NaN is null."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stvr.annotations.ava import read_excluded, read_label_map
from stvr.annotations.ava_detections import read_ava_boxes
from stvr.annotations.tubelets_file import read_labelled_tubelets
from stvr.labels import label_text
from stvr.metrics.as_json import by_threshold, finite
from stvr.metrics.ava_frame_map import IOU, MAX_PER_FRAME, ava_frame_map, mean_ap
from stvr.metrics.frame_map import METRIC_VERSION, THRESHOLDS, ClipRecord, PairRecord, frame_map
from stvr.metrics.video_map import VIDEO_THRESHOLDS, video_map

CLIPS_A_SECOND = 3  # in the released program
SAME = 1  # its class for detections that do what the query does
HEADLINE = 0.5  # the IoU in the tables of Feng et al.


def score_ava(
    ground_truth: Path,
    detections: Path,
    labels: Path,
    exclude: Path | None = None,
    *,
    max_per_frame: int = MAX_PER_FRAME,
) -> dict[str, Any]:
    """AVA's frame-mAP of a CSV of detections, as the official evaluator counts it.

    labels: the classes that count, .pbtxt in either dialect. exclude: a CSV of keyframes that are ignored.
    max_per_frame: how many rows of a keyframe count, best first; 0 counts all.
    """
    names = read_label_map(labels)
    truth = read_ava_boxes(ground_truth, names)
    found = read_ava_boxes(detections, names, max_per_frame)
    excluded = read_excluded(exclude) if exclude else set()
    actions = ava_frame_map(found, truth, names, excluded)
    return {
        "metric": "AVA frame-mAP",
        "metric_version": METRIC_VERSION,
        "mAP": finite(mean_ap(actions)),
        "per_action": {name: finite(actions[label].average_precision) for label, name in unique(names).items()},
        "support": {
            name: {"boxes": actions[label].num_truth, "detections": actions[label].num_detections}
            for label, name in unique(names).items()
        },
        "settings": {
            "iou": IOU, "classes": len(names), "excluded_keyframes": len(excluded), "max_per_frame": max_per_frame,
            "rows": {"ground_truth": len(truth), "detections": len(found)},
        },
    }  # fmt: skip


def score_released(case: Path) -> dict[str, Any]:
    """frame-mAP of a dump of the released program (JSON with its pairs and detections), as that program counts it."""
    content = read_json(case)
    try:
        records = released_records(content)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"{case.name} is not a dump of the released program ({type(error).__name__}: {error}). Wanted "
                         '"pairs", each of a query with "label" and a reference with "gt", and "detections" for each '
                         "pair.") from None
    thresholds = sorted({*THRESHOLDS, *map(float, content.get("expected", {}))})
    result = frame_map(records, thresholds)
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
    """Boxes (N, 4) and scores (N,) of class "same" in one clip; rows after `num_detections` are padding."""
    if clip >= len(found["num_detections"]):
        return torch.empty(0, 4), torch.empty(0)
    number = int(found["num_detections"][clip])
    same = torch.tensor(found["detection_classes"][clip][:number]) == SAME
    boxes = torch.tensor(found["detection_boxes"][clip][:number], dtype=torch.float64).reshape(-1, 4)
    return boxes[same], torch.tensor(found["detection_scores"][clip][:number], dtype=torch.float64)[same]


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
    found = read_labelled_tubelets(detections, inclusive)
    result = video_map(found, truth, thresholds, tube_iou=tube_iou, area=area)
    return {
        "metric": "video-mAP",
        "metric_version": METRIC_VERSION,
        "mAP": finite(result.mean[thresholds[0]]),
        "mAP_at": by_threshold(result.mean),
        "mAP_50_95": finite(result.mean_50_95),
        "per_label": {label: by_threshold(values) for label, values in result.per_label.items()},
        "support": {label: {"tubelets": result.num_truth[label], "detections": result.num_found[label]}
                    for label in result.per_label},
        "settings": {"tube_iou": tube_iou, "area": area, "inclusive_pixels": inclusive},
    }


def read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name} is not JSON: {error}.") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path.name}: wanted one JSON object, got a {type(content).__name__}.")
    return content


def unique(names: Mapping[int, str]) -> dict[int, str]:
    """Names that can be keys: actions that share a name get their ids added."""
    listed = list(names.values())
    return {label: name if listed.count(name) == 1 else f"{name} ({label})" for label, name in sorted(names.items())}
