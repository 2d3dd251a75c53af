"""From answers to figures: all that `stvr eval` says of a head. Every figure is in [0, 1], NaN is null."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stvr.metrics import COCO_THRESHOLDS, PairRecord, frame_map, oracle_link, precision_recall_curves, proposal_recall
from stvr.metrics.bootstrap import DRAWS, LEVEL, bootstrap, interval, mean_over_labels
from stvr.metrics.frame_map import ClipRecord
from stvr.metrics.mistakes import largest_mistake
from stvr.metrics.ranking import GradedClip, jaccard, pair_ndcg
from stvr.metrics.taxonomy import ClipScene, taxonomy
from stvr.metrics.video_map import LabelledTubelet, VideoMAP, video_map
from stvr.structures import ClipSpec, Detections, Pair, Span, Tubelet
from stvr.tubelets import LINKERS, link
from stvr.tubelets.actors import same_actor
from stvr.tubelets.overlaps import Floats
from stvr.world.dials import DialBin

ORACLE, ORACLE_IN_TIME = "oracle", "oracle in time"
AT = 0.5  # the IoU at which intervals, errors and lengths are counted
LENGTHS = (0, 5, 10, 20, 40, math.inf)  # of references, in seconds
NUM_WORST = 6
MIN_SECONDS, MAX_GAP_SECONDS = 2 / 3, 2 / 3  # of a tubelet, and of a gap that linkers fill


@dataclass(frozen=True, slots=True, eq=False)
class PairAnswers:
    """What the head said of one pair: with its own query, with another's, and its proposals a clip (N, 4) in [0, 1].

    truth: all annotated boxes a clip. probes: what other rankings of these say, for an audit. pair and detections (one
    a clip, with its own query): for what is counted over tubelets and actors.
    """

    own: PairRecord
    shuffled: PairRecord | None
    proposals: Sequence[Tensor]
    truth: Sequence[Tensor]
    probes: Mapping[str, PairRecord] = field(default_factory=dict)
    pair: Pair | None = None
    detections: Sequence[Detections] = ()


def score(answers: Sequence[PairAnswers], clip: ClipSpec | None = None, seed: int = 0) -> dict[str, Any]:
    """frame-mAP by label and mean, the shuffled-query probe and intervals beside it, recall, errors, tubelets."""
    own = [answer.own for answer in answers]
    shuffled = [answer.shuffled for answer in answers if answer.shuffled is not None]
    table, probe = frame_map(own), frame_map(shuffled) if shuffled else None
    recall = proposal_recall([p for a in answers for p in a.proposals], [t for a in answers for t in a.truth])
    audit = {name: [answer.probes[name] for answer in answers] for name in answers[0].probes}
    known = [(answer, answer.pair) for answer in answers if answer.pair is not None]
    return {
        "frame_map": {
            "mean": named(table.mean),
            "mean_50_95": finite(mean_of(frame_map(own, COCO_THRESHOLDS).mean.values())),
            "per_label": {label: named(values) for label, values in table.per_label.items()},
            "pairs": dict(table.pairs),
            "boxes": dict(table.boxes),
        },
        "shuffled_query": {
            "mean": named(probe.mean),
            "per_label": {label: named(values) for label, values in probe.per_label.items()},
        }
        if probe
        else None,
        "intervals": intervals(own, shuffled, audit, seed),
        "audit": {name: named(frame_map(records).mean) for name, records in audit.items()},
        "proposal_recall": {str(k): named(values) for k, values in recall.items()},
        "ndcg": graded(known),
        "video_map": tubelet_figures(known, clip or ClipSpec()) if known else None,
        "errors": error_counts(known) if known else None,
        "by_length": by_length(known, clip or ClipSpec()),
        "worst": worst(known, clip or ClipSpec()),
        "curves": {label: thinned(*curve) for label, curve in precision_recall_curves(own).items()},
    }


def intervals(
    own: Sequence[PairRecord], shuffled: Sequence[PairRecord], audit: Mapping[str, Sequence[PairRecord]], seed: int
) -> dict[str, Any]:
    """Of frame-mAP at IoU 0.5 over draws of pairs: the model's, by label too, the probes', and what the query is worth.

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


def graded(known: Sequence[tuple[PairAnswers, Pair]]) -> dict[str, Any] | None:
    """nDCG with the Jaccard index of the actions as gain, over the pairs whose others are labelled."""
    values = [pair_ndcg(graded_clips(answer, pair)) for answer, pair in known
              if len(pair.other_labels) == len(pair.others)]
    counted = [value for value in values if not math.isnan(value)]
    if not counted:
        return None
    return {"mean": mean_of(counted), "pairs": len(counted), "gain": "Jaccard index of the two sets of actions"}


def graded_clips(answer: PairAnswers, pair: Pair) -> list[GradedClip]:
    everyone = (*pair.targets, *pair.others)
    worth = [1.0] * len(pair.targets) + [jaccard(pair.label, label) for label in pair.other_labels]
    return [
        GradedClip(ClipRecord(record.boxes, record.scores, boxes), [worth[index] for index in owners])
        for record, (boxes, owners) in zip(answer.own.clips, by_clip(everyone, pair.reference), strict=True)
    ]


def error_counts(known: Sequence[tuple[PairAnswers, Pair]]) -> dict[str, Any]:
    """What the best detections of each label are, as many as it has true boxes, and what became of the true boxes."""
    errors = taxonomy((pair.label, scenes(answer, pair)) for answer, pair in known)
    return {"iou": AT, "detections": dict(errors.detections), "true_boxes": dict(errors.truth)}


def scenes(answer: PairAnswers, pair: Pair) -> list[ClipScene]:
    does_it = same_actor(pair.targets, pair.others)
    return [
        ClipScene(record, boxes, torch.tensor([does_it[index] for index in owners], dtype=torch.bool), proposals)
        for record, (boxes, owners), proposals in zip(
            answer.own.clips, by_clip(pair.others, pair.reference), answer.proposals, strict=True
        )
    ]


def by_clip(tubelets: Sequence[Tubelet], span: Span) -> list[tuple[Tensor, list[int]]]:
    """For every clip of the span the boxes (G, 4) that stand there, and which tubelet each is of."""
    rows: list[list[tuple[Tensor, int]]] = [[] for _ in range(len(span))]
    for index, tubelet in enumerate(tubelets):
        inside = tubelet.within(span)
        if inside is not None:
            for clip, box in enumerate(inside.boxes, start=inside.span.start - span.start):
                rows[clip].append((box, index))
    return [
        (torch.stack([box for box, _ in row]) if row else torch.empty(0, 4), [index for _, index in row])
        for row in rows
    ]


def tubelet_figures(known: Sequence[tuple[PairAnswers, Pair]], clip: ClipSpec) -> dict[str, Any]:
    """video-mAP of every linker beside the link that knows who is who, and beside that which also knows when.

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
    best = results[ORACLE]
    return {
        "tube_iou": best.tube_iou, "area": best.area, "min_seconds": MIN_SECONDS, "max_gap_seconds": MAX_GAP_SECONDS,
        "linkers": {name: {**named(each.mean), "0.5:0.95": finite(each.mean_50_95)} for name, each in results.items()},
        "gap_to_oracle": {
            name: named({t: best.mean[t] - value for t, value in results[name].mean.items()}) for name in LINKERS
        },
        "gap_to_time": named({t: value - best.mean[t] for t, value in results[ORACLE_IN_TIME].mean.items()}),
        "per_label": {label: named(values) for label, values in results["online"].per_label.items()},
        "tubelets": {"true": len(truth), **{name: sum(each.num_found.values()) for name, each in results.items()}},
    }  # fmt: skip


def linked(name: str, answer: PairAnswers, pair: Pair, video: str, options: Mapping[str, int]) -> list[Tubelet]:
    """The tubelets of one answer; every pair is a video of its own."""
    start = pair.reference.start
    if name in (ORACLE, ORACLE_IN_TIME):
        true = (*pair.targets, *pair.others)
        return oracle_link(answer.detections, true, video, start, in_time=name == ORACLE_IN_TIME, **options)
    return link(answer.detections, video, start, linker=name, **options)


def in_video(tubelet: Tubelet, video: str) -> Tubelet:
    return Tubelet(Span(video, tubelet.span.start, tubelet.span.stop), tubelet.boxes, tubelet.score)


def in_clips(seconds: float, clip: ClipSpec) -> int:
    return max(1, round(seconds * float(clip.clips_per_second)))


def by_length(known: Sequence[tuple[PairAnswers, Pair]], clip: ClipSpec) -> list[dict[str, Any]]:
    """frame-mAP at IoU 0.5 over the length of the reference."""
    rows = []
    for low, high in pairwise(LENGTHS):
        among = [answer.own for answer, pair in known if low < clip.seconds_at(len(pair.reference)) <= high]
        if among:
            value = frame_map(among, [AT]).mean[AT]
            rows.append({"from_seconds": low, "to_seconds": finite(high), "pairs": len(among), "mAP": finite(value)})
    return rows


def by_dial(
    answers: Sequence[PairAnswers], bins: Mapping[str, Sequence[DialBin]]
) -> dict[str, list[dict[str, Any]]]:
    """frame-mAP at IoU 0.5, and with a shuffled query, over the bins of each dial; a pair's place is its answer's."""
    return {name: [dial_row([answers[index] for index in each.pairs], each) for each in some]
            for name, some in bins.items()}


def dial_row(among: Sequence[PairAnswers], each: DialBin) -> dict[str, Any]:
    shuffled = [answer.shuffled for answer in among if answer.shuffled is not None]
    return {
        "from": each.low, "to": finite(each.high), "mean": each.mean, "pairs": len(among),
        "mAP": finite(frame_map([answer.own for answer in among], [AT]).mean[AT]),
        "shuffled_query": finite(frame_map(shuffled, [AT]).mean[AT]) if shuffled else None,
    }  # fmt: skip


def worst(known: Sequence[tuple[PairAnswers, Pair]], clip: ClipSpec) -> list[dict[str, Any]]:
    """The pairs with a target that were answered worst, by their own average precision at IoU 0.5, and what to show.

    query, mistake, target: a moment each, in seconds of its video, and the boxes there. mistake: see `largest_mistake`;
    None where nothing is wrong. target: the middle of the first one.
    """
    own = [(frame_map([answer.own], [AT]).mean[AT], answer, pair) for answer, pair in known if pair.targets]
    return [
        {
            "average_precision": finite(value), "label": pair.label,
            "query": {**place(pair.query.span), **seen(pair.query, clip)},
            "reference": place(pair.reference),
            "mistake": mistake(answer, pair, clip),
            "target": seen(pair.targets[0], clip),
        }
        for value, answer, pair in sorted(own, key=lambda each: each[0])[:NUM_WORST]
    ]  # fmt: skip


def place(span: Span) -> dict[str, Any]:
    return {"video": span.video, "start": span.start, "stop": span.stop}


def seen(tubelet: Tubelet, clip: ClipSpec) -> dict[str, Any]:
    """The middle of a tubelet."""
    middle = len(tubelet.span) // 2
    return {"seconds": middle_of(tubelet.span.start + middle, clip), "box": edges(tubelet.boxes[middle])}


def mistake(answer: PairAnswers, pair: Pair, clip: ClipSpec) -> dict[str, Any] | None:
    found = largest_mistake(answer.own.clips)
    if found is None:
        return None
    return {
        "seconds": middle_of(pair.reference.start + found.clip, clip),
        "box": None if found.box is None else edges(found.box), "score": found.score,
        "truth": [edges(box) for box in answer.own.clips[found.clip].truth],
    }  # fmt: skip


def middle_of(index: int, clip: ClipSpec) -> float:
    """The time in the middle of a clip, in seconds."""
    return (clip.seconds_at(index) + clip.seconds_at(index + 1)) / 2


def edges(box: Tensor) -> list[float]:
    return [round(float(edge), 4) for edge in box]


def bounds(values: Floats) -> list[float | None]:
    return [finite(value) for value in interval(values)]


def mean_of(values: Iterable[float]) -> float:
    every = list(values)
    return float(np.mean(every)) if every else math.nan


def finite(value: float) -> float | None:
    """JSON has no NaN, nor infinity."""
    return float(value) if math.isfinite(value) else None


def named(values: Mapping[float, float]) -> dict[str, float | None]:
    return {str(key): finite(value) for key, value in values.items()}


def thinned(recall: Any, precision: Any, points: int = 200) -> dict[str, list[float]]:
    """At most `points` points of a curve, the last one among them."""
    keep = np.unique(np.linspace(0, len(recall) - 1, min(points, len(recall))).round().astype(int))
    return {
        "recall": [round(float(recall[i]), 4) for i in keep],
        "precision": [round(float(precision[i]), 4) for i in keep],
    }
