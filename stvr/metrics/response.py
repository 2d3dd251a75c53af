"""Ego4D's metrics for visual queries (VQ2D): one true response track a query, answered with scored tubelets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from stvr.metrics.average_precision import first_to_ask, ranked_average_precision
from stvr.metrics.tube_overlap import Flat, Overlap, overlaps, temporal_iou, volume_iou
from stvr.structures import Tubelet
from stvr.tubelets.overlaps import Bools, Floats, Indices, paired_iou

THRESHOLDS = (0.25, 0.5, 0.75, 0.95)  # Ego4D, their evaluation
SUCCESS_IOU = 0.05  # volume IoU from which the best answer is a success
RECOVERY_IOU = 0.5  # IoU from which a clip is recovered


@dataclass(frozen=True, slots=True)
class ResponseMetrics:
    """All in [0, 1]; tap and stap by threshold; NaN without a query.

    tap: AP by temporal IoU; stap: AP by volume IoU (sum of intersections / sum of unions). success: share of queries
    whose best answer has a volume IoU of 0.05 or more; recovery: share of the clips of all true tracks in which the
    best answer's box has an IoU of 0.5 or more.
    """

    tap: dict[float, float]
    stap: dict[float, float]
    success: float
    recovery: float
    num_queries: int


def response_metrics(answers: Sequence[Sequence[Tubelet]], truth: Sequence[Tubelet]) -> ResponseMetrics:
    """answers[q]: the scored tubelets of query q, any number; truth[q]: its one response track.

    A query without an answer is neither a success nor recovered. Raises ValueError when the numbers of queries differ.
    """
    if len(answers) != len(truth):
        raise ValueError(f"wanted answers for each of the {len(truth)} queries, got them for {len(answers)}.")
    ranked = sorted(
        ((tubelet, query) for query, found in enumerate(answers) for tubelet in found), key=lambda each: -each[0].score
    )
    asked = np.array([query for _, query in ranked], np.int64)
    same_video = np.array([found.span.video == truth[query].span.video for found, query in ranked], bool)
    overlap = overlaps(Flat.of([found for found, _ in ranked]), Flat.of(truth), np.arange(len(ranked)), asked)
    best = {query: index for index, query in reversed(list(enumerate(asked.tolist())))}  # the first of each query
    volume = np.where(same_video, volume_iou(overlap), 0.0)
    succeeded = sum(bool(volume[index] >= SUCCESS_IOU) for index in best.values())
    recovered = sum(recovered_clips(ranked[index][0], truth[query]) for query, index in best.items())
    num_clips = sum(len(track.span) for track in truth)
    return ResponseMetrics(
        tap=average_precisions(temporal_iou, overlap, same_video, asked, len(truth)),
        stap=average_precisions(volume_iou, overlap, same_video, asked, len(truth)),
        success=succeeded / len(truth) if truth else float("nan"),
        recovery=recovered / num_clips if truth else float("nan"),
        num_queries=len(truth),
    )


def average_precisions(
    measure: Callable[[Overlap], Floats], overlap: Overlap, same_video: Bools, asked: Indices, num_queries: int
) -> dict[float, float]:
    """AP at each threshold over the answers of all queries together, best score first."""
    values = np.where(same_video, measure(overlap), 0.0)
    matched = first_to_ask(values, asked, num_queries, THRESHOLDS)
    return {t: ranked_average_precision(row, num_queries) for t, row in zip(THRESHOLDS, matched, strict=True)}


def recovered_clips(answer: Tubelet, truth: Tubelet) -> int:
    """How many clips of the true track have a box of the answer with IoU >= 0.5."""
    part, true_part = answer.within(truth.span), truth.within(answer.span)
    if part is None or true_part is None:
        return 0
    return int((paired_iou(part.boxes.double().numpy(), true_part.boxes.double().numpy()) >= RECOVERY_IOU).sum())
