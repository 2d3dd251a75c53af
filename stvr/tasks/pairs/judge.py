"""How good is a localiser on pairs: each asked with its own query and with another's, and figures of the answers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from stvr.heads import Localizer
from stvr.metrics import METRIC_VERSION, ClipRecord, PairRecord, probe_records
from stvr.store import FeatureSpec, FeatureStore
from stvr.structures import LABEL_SAME, Detections, Features, Pair, Query, Span, Tubelet
from stvr.tasks.choosing import of_split, sample
from stvr.tasks.pairs.answers import PairAnswers
from stvr.tasks.pairs.dataset import lacking, read_pairs_for
from stvr.tasks.pairs.figures import by_dial, score
from stvr.tasks.pairs.truth import everyone_by_clip, targets_by_clip
from stvr.tasks.pairs.worst_pairs import on_the_clock
from stvr.tubelets import of_label
from stvr.world.dials import bins_of_pairs, read_dials


class Asks(Protocol):
    """What of a session is needed here."""

    @property
    def head(self) -> Localizer: ...
    @property
    def spec(self) -> FeatureSpec: ...
    def pooled(self, tubelet: Tubelet, features: Features, /) -> Query: ...
    def looks_at(self, store: FeatureStore, span: Span, /) -> Iterable[Any]: ...
    def asked(self, look: Any, query: Query, /) -> list[Detections]: ...


def evaluate(
    session: Asks,
    store: FeatureStore,
    pairs_path: Path,
    *,
    split: str | None = None,
    seed: int = 0,
    limit: int | None = None,
    audit: bool = False,
    dials: Path | None = None,
    report: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Asks every pair of a split and scores the answers. report(done, total) tells of progress.

    audit: rankings of the true boxes that never look at the query, and the head's own ranking of them, are scored too.
    split: None takes "test" where the pairs have it, else all of them. limit: a sample of so many pairs, drawn by the
    seed. dials: a world's scenes.csv, for frame-mAP over speed, occlusion and length. Pairs whose clips are not all in
    the store are left out and counted. Every figure is in [0, 1]; NaN is null.
    """
    read, header = read_pairs_for(pairs_path, store)
    every = of_split(read, split, "pair")
    pairs = sample(usable(every, store), limit, seed)
    bins = bins_of_pairs(pairs, read_dials(dials), store.spec.clip) if dials else None
    answers = []
    for pair_answers in answer_pairs(session, store, pairs, seed, audit):
        answers.append(pair_answers)
        if report:
            report(len(answers), len(pairs))
    scored = score(answers, store.spec.clip, seed)
    return {
        "metric_version": METRIC_VERSION,
        "split": sorted({pair.split for pair in pairs}),
        "evaluated": f"{len(pairs)} of {len(every)} pairs",
        **scored,
        "worst": on_the_clock(scored["worst"], store.offset_seconds),
        "by_dial": by_dial(answers, bins) if bins else None,
        "labels": dict(header.get("labels", {})),
        "pairs_digest": f"sha256:{hashlib.sha256(pairs_path.read_bytes()).hexdigest()}",
    }


def usable(pairs: Sequence[Pair], store: FeatureStore) -> list[Pair]:
    """The pairs whose clips are all in the store; LookupError when there are none."""
    reasons = lacking(pairs, store)
    if len(reasons) == len(pairs):
        first = next(iter(reasons.values()), "the file holds no pair")
        raise LookupError(f"none of the {len(pairs)} pairs can be evaluated: {first}. Run `stvr extract` first.")
    return [pair for index, pair in enumerate(pairs) if index not in reasons]


def answer_pairs(
    session: Asks, store: FeatureStore, pairs: Sequence[Pair], seed: int, audit: bool = False
) -> Iterator[PairAnswers]:
    """Each pair asked with its own query and with one of another label; the reference is looked at once."""
    random = np.random.default_rng([seed, 1]) if audit else None
    for pair, stranger in zip(pairs, draw_strangers(pairs, seed), strict=True):
        asked = [pair.query] if stranger is None else [pair.query, stranger.query]
        queries = [session.pooled(query, features_of(store, query.span, session.spec.endpoints)) for query in asked]
        yield answer_pair(session, pair, queries, list(session.looks_at(store, pair.reference)), random)


def features_of(store: FeatureStore, span: Span, endpoints: Sequence[str] | None = None) -> Features:
    return store.read_features(span, endpoints)


@torch.inference_mode()
def answer_pair(
    session: Asks, pair: Pair, queries: Sequence[Query], looks: Sequence[Any], random: np.random.Generator | None
) -> PairAnswers:
    """queries: the pair's own, then others. random: what the probes of an audit are drawn from; None for no audit."""
    truth = [clip.boxes for clip in targets_by_clip(pair)]
    every = [clip.boxes for clip in everyone_by_clip(pair)]
    detections = [[clip for look in looks for clip in session.asked(look, query)] for query in queries]
    records = [PairRecord(pair.label, clip_records(each, truth)) for each in detections]
    probes = {}
    if random is not None:
        probes = probe_records(pair.label, every, truth, pair.query.boxes, random)
        scores = scores_of_boxes(session.head, looks, queries[0], every)
        if scores is not None:
            scored = [ClipRecord(*clip) for clip in zip(every, scores, truth, strict=True)]
            probes["true boxes, the model's match score"] = PairRecord(pair.label, scored)
    shuffled = records[1] if len(records) > 1 else None
    proposals = proposals_of(session.head, looks, queries[0]) or [clip.boxes for clip in detections[0]]
    return PairAnswers(records[0], shuffled, proposals, every, probes, pair, detections[0])


def proposals_of(head: Localizer, looks: Sequence[Any], query: Query) -> list[Tensor]:
    """The proposals of every clip, (N, 4) in [0, 1]; an empty list for a head that has none to show."""
    return [boxes.cpu() for look in looks for boxes in head.proposals_of(look, query) or []]


def scores_of_boxes(
    head: Localizer, looks: Sequence[Any], query: Query, boxes: Sequence[Tensor]
) -> list[Tensor] | None:
    """The scores (G,) of the boxes (G, 4) of every clip; None for a head that scores no given boxes."""
    scores: list[Tensor] = []
    for look in looks:
        found = head.score_boxes(look, query, boxes[len(scores) : len(scores) + len(look)])
        if found is None:
            return None
        scores += [each.cpu() for each in found]
    return scores


def clip_records(detections: Sequence[Detections], truth: Sequence[Tensor]) -> list[ClipRecord]:
    same = [of_label(clip, LABEL_SAME) for clip in detections]
    return [ClipRecord(found.boxes, found.scores, true) for found, true in zip(same, truth, strict=True)]


def draw_strangers(pairs: Sequence[Pair], seed: int) -> list[Pair | None]:
    """For every pair another one whose label differs, drawn evenly over the labels; None when all are alike."""
    random = np.random.default_rng(seed)
    by_label: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_label.setdefault(pair.label, []).append(pair)
    strangers: list[Pair | None] = []
    for pair in pairs:
        labels = sorted(label for label in by_label if label != pair.label)
        if not labels:
            strangers.append(None)
            continue
        among = by_label[labels[random.integers(len(labels))]]
        strangers.append(among[random.integers(len(among))])
    return strangers
