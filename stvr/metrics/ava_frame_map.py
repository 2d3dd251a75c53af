"""AVA's frame-mAP as its official evaluator counts it: Pascal AP at IoU 0.5 over boxes at keyframes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stvr.metrics.average_precision import match_groups, mean_of, numpy_reversed, ranked_average_precision
from stvr.tubelets.overlaps import Bools, Floats, Indices

IOU = 0.5
MAX_PER_FRAME = 50  # rows of one keyframe, all classes together: the official evaluator's capacity

Keyframe = tuple[str, int]  # video, second


@dataclass(frozen=True, slots=True, eq=False)
class KeyframeBoxes:
    """One row for each box and class: keyframes (N), labels (N,), scores (N,), boxes (N, 4) xyxy, best first."""

    keyframes: Sequence[Keyframe]
    labels: Indices
    scores: Floats
    boxes: Floats

    def __len__(self) -> int:
        return len(self.keyframes)

    def kept(self, keep: Sequence[bool] | Bools) -> KeyframeBoxes:
        """The rows where `keep` is true."""
        rows = np.flatnonzero(keep)
        return KeyframeBoxes(
            [self.keyframes[row] for row in rows.tolist()], self.labels[rows], self.scores[rows], self.boxes[rows]
        )


@dataclass(frozen=True, slots=True)
class ActionAP:
    """AP of one action, NaN where it has no true box; how many true boxes and detections it has, and right ones."""

    average_precision: float
    num_truth: int
    num_detections: int
    num_right: int


def ava_frame_map(
    found: KeyframeBoxes,
    truth: KeyframeBoxes,
    classes: Collection[int],
    excluded: Collection[Keyframe] = (),
    listed: Collection[Keyframe] | None = None,
) -> dict[int, ActionAP]:
    """AP of each of the classes. Excluded keyframes are ignored.

    listed: the keyframes that the ground truth lists, with boxes or without; detections at others are ignored. None:
    they are false, as all are at keyframes without truth. Detections without area are ignored; true boxes without area
    are counted, though no detection can match them.
    """
    excluded = set(excluded)
    found = found.kept([key not in excluded and (listed is None or key in listed) for key in found.keyframes])
    found = found.kept(np.all(found.boxes[:, :2] < found.boxes[:, 2:], axis=1))
    truth = truth.kept([key not in excluded for key in truth.keyframes])
    number = {key: index for index, key in enumerate(dict.fromkeys([*truth.keyframes, *found.keyframes]))}
    stride = max([0, *classes, *found.labels.tolist(), *truth.labels.tolist()]) + 1
    groups, truth_groups = (
        np.array([number[key] for key in rows.keyframes], np.int64) * stride + rows.labels for rows in (found, truth)
    )
    matched = match_groups(found.boxes, groups, truth.boxes, truth_groups, [IOU])[0]
    return {label: action_ap(found, matched, truth, label) for label in sorted(classes)}


def action_ap(found: KeyframeBoxes, matched: Bools, truth: KeyframeBoxes, label: int) -> ActionAP:
    """Equal scores are ranked as the official evaluator ranks them: numpy's order, reversed."""
    own, num_truth = found.labels == label, int((truth.labels == label).sum())
    order = numpy_reversed(found.scores[own])
    precision = ranked_average_precision(matched[own][order], num_truth)
    return ActionAP(precision, num_truth, int(own.sum()), int(matched[own].sum()))


def mean_ap(actions: Mapping[int, ActionAP]) -> float:
    """The mean over the actions that have a true box; NaN when none has."""
    return mean_of(action.average_precision for action in actions.values() if action.num_truth)
