"""Frame-mAP as the released program counts it (Feng et al. 2019, compute_ap.py), and recall of the proposals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_iou

from stvr.metrics.average_precision import (
    match_groups,
    mean_of,
    monotone,
    ranked_average_precision,
    ranked_precision_recall,
    stable,
)
from stvr.tubelets.overlaps import Bools, Floats, Indices

METRIC_VERSION = 3  # goes up whenever a figure changes for the same answers, or figures are added
THRESHOLDS = (0.3, 0.5, 0.7)  # Feng et al. 2019


@dataclass(frozen=True, slots=True, eq=False)
class ClipRecord:
    """One clip of a reference: boxes (N, 4) found as the query's action, scores (N,), truth (G, 4), in any order."""

    boxes: Tensor
    scores: Tensor
    truth: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class PairRecord:
    """One pair: the query's label and every clip of its reference, also those without truth or detections."""

    label: str
    clips: Sequence[ClipRecord]


@dataclass(frozen=True, slots=True)
class FrameMAP:
    """Average precisions in [0, 1] by label and IoU threshold; NaN for a label without any true box.

    per_label[label][threshold]; pairs[label]: how many pairs; boxes[label]: true boxes, three a second for one actor.
    """

    per_label: Mapping[str, Mapping[float, float]]
    pairs: Mapping[str, int]
    boxes: Mapping[str, int]

    @property
    def mean(self) -> dict[float, float]:
        """frame-mAP at each threshold: the mean over the labels that have a true box; NaN when none has."""
        counted = [table for label, table in self.per_label.items() if self.boxes[label]]
        thresholds = next(iter(self.per_label.values()), {})
        return {t: mean_of(table[t] for table in counted) for t in thresholds}


def frame_map(records: Iterable[PairRecord], thresholds: Sequence[float] = THRESHOLDS,
              rank: Callable[[Floats], Indices] = stable) -> FrameMAP:
    """Frame-mAP: boxes are matched within their clip, scores pooled over the pairs of a label, labels averaged.

    The detections of a pair without a target are all false. Equal scores keep their order within a clip; rank: the
    order of a label's pooled scores.
    """
    pooled = pool(records, thresholds)
    return FrameMAP(
        per_label={
            label: {
                threshold: average_precision(each.scores, matched, each.num_truth, rank)
                for threshold, matched in zip(thresholds, each.matched, strict=True)
            }
            for label, each in pooled.items()
        },
        pairs={label: each.num_pairs for label, each in pooled.items()},
        boxes={label: each.num_truth for label, each in pooled.items()},
    )


def precision_recall_curves(records: Iterable[PairRecord], threshold: float) -> dict[str, tuple[Floats, Floats]]:
    """label -> recall (D,) rising and precision (D,) made monotone: the curve whose area is the label's AP."""
    pooled = pool(records, [threshold])
    return {label: precision_recall(each.scores, each.matched[0], each.num_truth) for label, each in pooled.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Pooled:
    """All detections of a label: scores (D,), which are true (thresholds, D), how many true boxes and pairs it has."""

    scores: Floats
    matched: Bools
    num_truth: int
    num_pairs: int


def pool(records: Iterable[PairRecord], thresholds: Sequence[float]) -> dict[str, Pooled]:
    """Matches every clip and pools the detections of each label, labels in alphabetical order."""
    by_label: dict[str, list[PairRecord]] = defaultdict(list)
    for record in records:
        by_label[record.label].append(record)
    return {label: pool_label(by_label[label], thresholds) for label in sorted(by_label)}


def pool_label(records: Sequence[PairRecord], thresholds: Sequence[float]) -> Pooled:
    clips = [clip for record in records for clip in record.clips]
    scores = joined([clip.scores for clip in clips], ())
    truth = joined([clip.truth for clip in clips], (4,))
    order = stable(scores)
    boxes = joined([clip.boxes for clip in clips], (4,))[order]
    matched = np.empty((len(thresholds), len(scores)), bool)
    matched[:, order] = match_groups(
        boxes, numbered([clip.boxes for clip in clips])[order], truth, numbered([clip.truth for clip in clips]),
        thresholds,
    )  # fmt: skip
    return Pooled(scores, matched, len(truth), len(records))


def joined(parts: Sequence[Tensor], shape: tuple[int, ...]) -> Floats:
    """The rows of all clips as one float64 array (rows, *shape)."""
    return torch.cat(list(parts)).detach().to("cpu", torch.float64).numpy() if parts else np.empty((0, *shape))


def numbered(parts: Sequence[Tensor]) -> Indices:
    """Which clip each row comes from."""
    return np.repeat(np.arange(len(parts)), [len(part) for part in parts])


def match_clip(boxes: Tensor, scores: Tensor, truth: Tensor, thresholds: Sequence[float]) -> Bools:
    """Which detections of one clip are true: boxes (N, 4), scores (N,), truth (G, 4) -> (thresholds, N) bool."""
    return pool_label([PairRecord("", [ClipRecord(boxes, scores, truth)])], thresholds).matched


def average_precision(scores: Floats, matched: Bools, num_truth: int,
                      rank: Callable[[Floats], Indices] = stable) -> float:
    """Area under the monotone precision-recall curve, in [0, 1]: scores (D,), matched (D,); NaN without truth."""
    return ranked_average_precision(matched[rank(scores)], num_truth)


def precision_recall(scores: Floats, matched: Bools, num_truth: int) -> tuple[Floats, Floats]:
    """Recall (D,) and monotone precision (D,) after each detection, best score first."""
    recall, precision = ranked_precision_recall(matched[stable(scores)], num_truth)
    return recall, monotone(precision)


def proposal_recall(
    proposals: Sequence[Tensor],
    truth: Sequence[Tensor],
    ks: Sequence[int] = (8, 16, 32),
    thresholds: Sequence[float] = (0.5, 0.7),
) -> dict[int, dict[float, float]]:
    """recall[k][threshold]: the share of true boxes that one of the first k proposals of their clip reaches.

    proposals: (N, 4) for each clip, best first; truth: (G, 4) for each clip. NaN when there is no true box at all.
    Raises ValueError when the two are not of the same clips.
    """
    if len(proposals) != len(truth):
        raise ValueError(f"wanted proposals and truth of the same clips, got {len(proposals)} and {len(truth)} clips.")
    overlaps = [best_overlap(found, true, ks) for found, true in zip(proposals, truth, strict=True) if len(true)]
    best = np.concatenate(overlaps) if overlaps else np.full((1, len(ks)), np.nan)  # (all true boxes, ks)
    reached = {t: np.where(np.isnan(best), np.nan, best >= t).mean(0) for t in thresholds}
    return {k: {t: float(reached[t][i]) for t in thresholds} for i, k in enumerate(ks)}


def best_overlap(proposals: Tensor, truth: Tensor, ks: Sequence[int]) -> Floats:
    """The best IoU of each true box among the first k proposals: (G, ks)."""
    overlap = np.zeros((len(truth), max(len(proposals), 1)))
    if len(proposals):
        overlap = np.maximum.accumulate(box_iou(plain(truth), plain(proposals)).numpy(), axis=1)
    return overlap[:, [min(k, overlap.shape[1]) - 1 for k in ks]]


def plain(values: Tensor) -> Tensor:
    """float64 on the CPU, without a gradient."""
    return values.detach().to("cpu", torch.float64)
