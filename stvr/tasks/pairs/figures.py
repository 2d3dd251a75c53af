"""From answers to figures: all that `stvr eval` reports on a head. Every figure is in [0, 1], NaN is null."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from stvr.metrics import (
    COCO_THRESHOLDS,
    ClipRecord,
    FrameMAP,
    PairRecord,
    frame_map,
    precision_recall_curves,
    proposal_recall,
)
from stvr.metrics.as_json import by_threshold, finite
from stvr.metrics.average_precision import mean_of
from stvr.metrics.bootstrap import DRAWS, LEVEL, bootstrap, interval, mean_over_labels
from stvr.metrics.ranking import GradedClip, jaccard, pair_ndcg
from stvr.metrics.taxonomy import ClipScene, taxonomy
from stvr.structures import ClipSpec, Pair
from stvr.tasks.pairs.answers import Known, PairAnswers
from stvr.tasks.pairs.truth import everyone_by_clip, others_by_clip
from stvr.tasks.pairs.tubelet_figures import tubelet_figures
from stvr.tasks.pairs.worst_pairs import worst_pairs
from stvr.tubelets.actors import same_actor
from stvr.tubelets.overlaps import Floats
from stvr.world.dials import DialBin

AT = 0.5  # the IoU for intervals, errors, lengths and dials
LENGTHS = (0, 5, 10, 20, 40, math.inf)  # bins for the length of a reference, in seconds


def score(answers: Sequence[PairAnswers], clip: ClipSpec | None = None, seed: int = 0) -> dict[str, Any]:
    """All figures of one evaluation: frame-mAP with its probes and intervals, recall, errors, tubelets, lengths.

    What needs the pairs themselves is None or empty where the answers come without them. seed: of the bootstrap.
    """
    clip = clip or ClipSpec()
    own = [answer.own for answer in answers]
    shuffled = [answer.shuffled for answer in answers if answer.shuffled is not None]
    table, probe = frame_map(own), frame_map(shuffled) if shuffled else None
    recall = proposal_recall([p for a in answers for p in a.proposals], [t for a in answers for t in a.truth])
    audit = {name: [answer.probes[name] for answer in answers] for name in answers[0].probes}
    known = [(answer, answer.pair) for answer in answers if answer.pair is not None]
    return {
        "frame_map": frame_map_figures(table, mean_of(frame_map(own, COCO_THRESHOLDS).mean.values())),
        "shuffled_query": probe_figures(probe) if probe else None,
        "intervals": intervals(own, shuffled, audit, seed),
        "audit": {name: by_threshold(frame_map(records).mean) for name, records in audit.items()},
        "proposal_recall": {str(k): by_threshold(values) for k, values in recall.items()},
        "ndcg": graded(known),
        "video_map": tubelet_figures(known, clip) if known else None,
        "errors": error_counts(known) if known else None,
        "by_length": by_length(known, clip),
        "worst": worst_pairs(known, clip),
        "curves": {label: thinned(*curve) for label, curve in precision_recall_curves(own, AT).items()},
    }


def frame_map_figures(table: FrameMAP, mean_50_95: float) -> dict[str, Any]:
    return {
        "mean": by_threshold(table.mean),
        "mean_50_95": finite(mean_50_95),
        "per_label": {label: by_threshold(values) for label, values in table.per_label.items()},
        "pairs": dict(table.pairs),
        "boxes": dict(table.boxes),
    }


def probe_figures(table: FrameMAP) -> dict[str, Any]:
    return {
        "mean": by_threshold(table.mean),
        "per_label": {label: by_threshold(values) for label, values in table.per_label.items()},
    }


def intervals(
    own: Sequence[PairRecord], shuffled: Sequence[PairRecord], audit: Mapping[str, Sequence[PairRecord]], seed: int
) -> dict[str, Any]:
    """Intervals of frame-mAP at IoU 0.5 over draws of pairs: the model's, each label's, the probes', the query's share.

    Own and shuffled are drawn together, so the interval of their difference is narrower than theirs suggest.
    """
    results = {"model": own, **({"shuffled query": shuffled} if shuffled else {}), **audit}
    drawn = bootstrap(results, AT, seed=seed)
    means = {name: mean_over_labels(by_label) for name, by_label in drawn.items()}
    return {
        "of": f"frame-mAP at IoU {AT:g}", "level": LEVEL, "draws": DRAWS,
        **{name: bounds(values) for name, values in means.items()},
        "owed to the query": bounds(means["model"] - means["shuffled query"]) if shuffled else None,
        "per_label": {label: bounds(values) for label, values in drawn["model"].items()},
    }  # fmt: skip


def bounds(values: Floats) -> list[float | None]:
    return [finite(value) for value in interval(values)]


def graded(known: Known) -> dict[str, Any] | None:
    """nDCG with the Jaccard index of the actions as gain, over the pairs whose others are labelled."""
    values = [pair_ndcg(graded_clips(answer, pair)) for answer, pair in known
              if len(pair.other_labels) == len(pair.others)]
    counted = [value for value in values if not math.isnan(value)]
    if not counted:
        return None
    return {"mean": mean_of(counted), "pairs": len(counted), "gain": "Jaccard index of the two sets of actions"}


def graded_clips(answer: PairAnswers, pair: Pair) -> list[GradedClip]:
    gains = [1.0] * len(pair.targets) + [jaccard(pair.label, label) for label in pair.other_labels]
    return [
        GradedClip(ClipRecord(record.boxes, record.scores, everyone.boxes), [gains[owner] for owner in everyone.owners])
        for record, everyone in zip(answer.own.clips, everyone_by_clip(pair), strict=True)
    ]


def error_counts(known: Known) -> dict[str, Any]:
    """Kinds of the best detections of each label, as many as it has true boxes; and what became of the true boxes."""
    errors = taxonomy((pair.label, scenes(answer, pair)) for answer, pair in known)
    return {"iou": AT, "detections": dict(errors.detections), "true_boxes": dict(errors.truth)}


def scenes(answer: PairAnswers, pair: Pair) -> list[ClipScene]:
    does_it = same_actor(pair.targets, pair.others)
    return [
        ClipScene(record, others.boxes, torch.tensor([does_it[owner] for owner in others.owners], dtype=torch.bool),
                  proposals)
        for record, others, proposals in zip(answer.own.clips, others_by_clip(pair), answer.proposals, strict=True)
    ]  # fmt: skip


def by_length(known: Known, clip: ClipSpec) -> list[dict[str, Any]]:
    """frame-mAP at IoU 0.5 over the length of the reference; empty bins are left out."""
    rows = []
    for low, high in pairwise(LENGTHS):
        records = [answer.own for answer, pair in known if low < clip.seconds_at(len(pair.reference)) <= high]
        if records:
            seconds = {"from_seconds": low, "to_seconds": finite(high)}
            rows.append({**seconds, "pairs": len(records), "mAP": at_half(records)})
    return rows


def by_dial(
    answers: Sequence[PairAnswers], bins: Mapping[str, Sequence[DialBin]]
) -> dict[str, list[dict[str, Any]]]:
    """frame-mAP at IoU 0.5, and with a shuffled query, over the bins of each dial; bins hold places in `answers`."""
    return {name: [dial_row([answers[index] for index in each.pairs], each) for each in dial_bins]
            for name, dial_bins in bins.items()}


def dial_row(answers: Sequence[PairAnswers], bounds: DialBin) -> dict[str, Any]:
    shuffled = [answer.shuffled for answer in answers if answer.shuffled is not None]
    return {
        "from": bounds.low, "to": finite(bounds.high), "mean": bounds.mean, "pairs": len(answers),
        "mAP": at_half([answer.own for answer in answers]),
        "shuffled_query": at_half(shuffled) if shuffled else None,
    }  # fmt: skip


def at_half(records: Sequence[PairRecord]) -> float | None:
    """frame-mAP at IoU 0.5."""
    return finite(frame_map(records, [AT]).mean[AT])


def thinned(recall: Any, precision: Any, points: int = 200) -> dict[str, list[float]]:
    """At most `points` points of a curve, the first and the last among them."""
    keep = np.unique(np.linspace(0, len(recall) - 1, min(points, len(recall))).round().astype(int))
    return {
        "recall": [round(float(recall[i]), 4) for i in keep],
        "precision": [round(float(precision[i]), 4) for i in keep],
    }
