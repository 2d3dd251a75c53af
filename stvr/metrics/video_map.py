"""video-mAP of linked tubelets (MultiSports, UCF101-24): a tubelet is right or wrong as a whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stvr.metrics.average_precision import (
    COCO_THRESHOLDS,
    mean_of,
    ranked_average_precision,
    trapezoid_average_precision,
)
from stvr.metrics.tube_overlap import TUBE_IOUS, Flat, overlaps, pairs_within
from stvr.structures import Tubelet
from stvr.tubelets.overlaps import Bools, Floats, Indices

VIDEO_THRESHOLDS = (0.2, 0.5)

AREAS: Mapping[str, Callable[[Bools, int], float]] = {
    "all_point": ranked_average_precision,  # UCF101-24 (Singh et al.), Pascal VOC since 2010
    "trapezoid": trapezoid_average_precision,  # ACT (Kalogeiton et al.), JHMDB and MultiSports
}


@dataclass(frozen=True, slots=True, eq=False)
class LabelledTubelet:
    """A tubelet and the label of what happens in it."""

    label: str
    tubelet: Tubelet


@dataclass(frozen=True, slots=True)
class VideoMAP:
    """Average precisions in [0, 1]: per_label[label][threshold], NaN for a label without truth; means over the others.

    tube_iou, area: the names of how tubelets were compared and how the curve was summed. mean_50_95: over .5:.95.
    num_right: detections that are right at the first threshold.
    """

    per_label: Mapping[str, Mapping[float, float]]
    mean: Mapping[float, float]
    mean_50_95: float
    num_truth: Mapping[str, int]
    num_found: Mapping[str, int]
    num_right: Mapping[str, int]
    tube_iou: str
    area: str


def video_map(
    found: Sequence[LabelledTubelet],
    truth: Sequence[LabelledTubelet],
    thresholds: Sequence[float] = VIDEO_THRESHOLDS,
    *,
    tube_iou: str = "temporal_x_spatial",
    area: str = "all_point",
) -> VideoMAP:
    """Best score first, each tubelet takes the true one of its video and label that it overlaps most and that is free.

    It is right when that tube IoU reaches the threshold. Tubelets of any length count; equal scores keep their order.
    tube_iou: a name in TUBE_IOUS; area: a name in AREAS. Raises ValueError for any other name.
    """
    for name, menu in ((tube_iou, TUBE_IOUS), (area, AREAS)):
        if name not in menu:
            raise ValueError(f"there is no {name!r}. Choose one of {', '.join(menu)}.")
    labels = sorted({each.label for each in (*found, *truth)})
    found = sorted(found, key=lambda each: -each.tubelet.score)
    one, other, overlap = compared(found, truth, tube_iou)
    every = sorted({*thresholds, *COCO_THRESHOLDS})
    right = dict(zip(every, (take_free(one, other, overlap, len(found), t) for t in every), strict=True))
    named, true_named = np.array([each.label for each in found]), np.array([each.label for each in truth])
    num_truth = {label: int((true_named == label).sum()) for label in labels}
    per_label = {
        label: {t: AREAS[area](right[t][named == label], num_truth[label]) for t in every} for label in labels
    }
    mean = {t: mean_of(per_label[label][t] for label in labels if num_truth[label]) for t in every}
    return VideoMAP(
        {label: {t: values[t] for t in thresholds} for label, values in per_label.items()},
        {t: mean[t] for t in thresholds},
        mean_of(mean[t] for t in COCO_THRESHOLDS),
        num_truth,
        {label: int((named == label).sum()) for label in labels},
        {label: int(right[thresholds[0]][named == label].sum()) for label in labels},
        tube_iou,
        area,
    )


def compared(
    found: Sequence[LabelledTubelet], truth: Sequence[LabelledTubelet], tube_iou: str
) -> tuple[Indices, Indices, Floats]:
    """All pairs (found, true) of one video and label, as indices (P,) and (P,), and their tube IoUs (P,)."""
    number: dict[tuple[str, str], int] = {}
    groups, truth_groups = (
        np.array([number.setdefault((each.label, each.tubelet.span.video), len(number)) for each in tubelets], np.int64)
        for tubelets in (found, truth)
    )
    one, other = pairs_within(groups, truth_groups)
    flat, true_flat = (Flat.of([each.tubelet for each in tubelets]) for tubelets in (found, truth))
    return one, other, TUBE_IOUS[tube_iou](overlaps(flat, true_flat, one, other))


def take_free(one: Indices, other: Indices, overlap: Floats, num_found: int, threshold: float) -> Bools:
    """Which tubelets (num_found,) are right: each in turn takes the best true one that is free and overlaps enough."""
    near = np.flatnonzero(overlap >= threshold)
    near = near[np.lexsort((other[near], -overlap[near], one[near]))]  # by tubelet, then by overlap
    right, taken = np.zeros(num_found, bool), set()
    for index, truth in zip(one[near].tolist(), other[near].tolist(), strict=True):
        if not right[index] and truth not in taken:
            right[index] = True
            taken.add(truth)
    return right
