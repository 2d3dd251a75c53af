"""How good is a head: frame-mAP, recall of its proposals, and how much of it is owed to the query."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stvr.files import write_json
from stvr.heads import MatchingHead
from stvr.heads.checkpoint import Checkpoint, load_head
from stvr.heads.matching import MatchingOutputs, in_pixels
from stvr.heads.proposals import ProposalOutputs
from stvr.metrics import METRIC_VERSION, ClipRecord, PairRecord, probe_records
from stvr.store import FeatureStore
from stvr.structures import LABEL_NONE, LABEL_SAME, Detections, Pair
from stvr.tasks.pairs.dataset import Item, collate, lacking, read_item, read_maps, read_pairs_for
from stvr.tasks.pairs.figures import PairAnswers, by_dial, score
from stvr.tubelets import of_label
from stvr.world.dials import bins_of_pairs, read_dials

CLIPS_AT_ONCE = 30  # of a reference that go through the second stage together; bounds memory


def evaluate(
    checkpoint_path: Path,
    store_path: Path,
    pairs_path: Path,
    *,
    split: str | None = None,
    out: Path | None = None,
    seed: int = 0,
    limit: int | None = None,
    audit: bool = False,
    dials: Path | None = None,
    device: str = "cpu",
    report: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Asks every pair of a split and scores the answers; writes OUT/eval.json. report(done, total) tells of progress.

    audit: rankings of the true boxes that never look at the query, and the head's own ranking of them, are scored too.
    split: None takes "test" where the pairs have it, else all of them. limit: a sample of so many pairs, drawn by the
    seed. dials: a world's scenes.csv, for frame-mAP over speed, occlusion and length. Pairs whose clips are not all in
    the store are left out and counted. Every figure is in [0, 1]; NaN is null.
    """
    checkpoint, store = load_head(checkpoint_path, device), FeatureStore.open(store_path)
    check_spec(checkpoint, store)
    read, header = read_pairs_for(pairs_path, store)
    every = choose_split(read, split)
    reasons = lacking(every, store)
    pairs = [pair for index, pair in enumerate(every) if index not in reasons]
    if not pairs:
        first = next(iter(reasons.values()), "the file holds no pair")
        raise LookupError(f"none of the {len(every)} pairs can be evaluated: {first}. Run `stvr extract` first.")
    if limit is not None and limit < len(pairs):
        drawn = np.random.default_rng(seed).choice(len(pairs), limit, replace=False)
        pairs = [pairs[index] for index in sorted(drawn)]
    bins = bins_of_pairs(pairs, read_dials(dials), store.spec.clip) if dials else None
    answers = []
    for pair_answers in answer_pairs(checkpoint.head, store, pairs, seed, device, audit):
        answers.append(pair_answers)
        if report:
            report(len(answers), len(pairs))
    results = {
        "metric_version": METRIC_VERSION,
        "split": sorted({pair.split for pair in pairs}),
        "evaluated": f"{len(pairs)} of {len(every)} pairs",
        **score(answers, store.spec.clip, seed),
        "by_dial": by_dial(answers, bins) if bins else None,
        "labels": dict(header.get("labels", {})),
        "checkpoint": dict(checkpoint.provenance),
        "pairs_digest": f"sha256:{hashlib.sha256(pairs_path.read_bytes()).hexdigest()}",
        "store_spec": store.spec.to_json(),
    }
    if out is not None:
        write_json(out / "eval.json", results)
    return results


def answer_pairs(
    head: MatchingHead, store: FeatureStore, pairs: Sequence[Pair], seed: int, device: str, audit: bool = False
) -> Iterator[PairAnswers]:
    """Each pair asked with its own query and with one of another label; the reference is looked at once."""
    random = np.random.default_rng([seed, 1])
    for pair, stranger in zip(pairs, draw_strangers(pairs, seed), strict=True):
        item = read_item(store, pair)
        items = [item]
        if stranger is not None:
            query = stranger.query
            items.append(replace(item, query=read_maps(store, query.span), query_boxes=query.boxes.float()))
        yield answer_pair(head, pair, items, device, random if audit else None)


@torch.inference_mode()
def answer_pair(
    head: MatchingHead, pair: Pair, items: Sequence[Item], device: str, random: np.random.Generator | None = None
) -> PairAnswers:
    """items: the pair with its own query, then with others. random: draws of the audit, which there is none without."""
    batch = collate(items[:1]).to(device)
    maps = head.propagation(head.adapter(batch.reference), batch.flow)  # (1, T, H, W, C)
    truth, every = (
        [boxes[kept(labels)] for boxes, labels in zip(items[0].boxes, items[0].labels, strict=True)]
        for kept in (lambda labels: labels == LABEL_SAME, lambda labels: labels != LABEL_NONE)
    )
    parts = maps.split(CLIPS_AT_ONCE, 1)
    found = [head.propose(part) for part in parts]
    detections = []  # by item, a clip each
    for item in items:
        outputs = match_parts(head, item, parts, found, device)
        detections.append([on_cpu(clip) for output in outputs for clip in head.detect(output)])
    records = [PairRecord(pair.label, clip_records(each, truth)) for each in detections]
    scale = in_pixels(outputs[0].image_size, outputs[0].boxes)
    proposals = [(b[m] / scale).cpu() for p in found for b, m in zip(p.boxes, p.mask, strict=True)]
    probes = {}
    if random is not None:
        probes = probe_records(pair.label, every, truth, pair.query.boxes, random)
        on_truth = [with_boxes(p, every[i * CLIPS_AT_ONCE :][: len(p.boxes)], scale) for i, p in enumerate(found)]
        outputs = match_parts(head, items[0], parts, on_truth, device)
        probes["true boxes, the model's match score"] = PairRecord(pair.label, box_records(outputs, every, truth))
    shuffled = records[1] if len(records) > 1 else None
    return PairAnswers(records[0], shuffled, proposals, every, probes, pair, detections[0])


def match_parts(
    head: MatchingHead, item: Item, parts: Sequence[Tensor], found: Sequence[ProposalOutputs], device: str
) -> list[MatchingOutputs]:
    """The reference, a few clips at a time, against the query of `item`."""
    asked = collate([item]).to(device)
    query = head.encode_query(asked.query, asked.query_boxes)
    return [head.match(part, proposals, query, asked.query_mask) for part, proposals in zip(parts, found, strict=True)]


def with_boxes(proposals: ProposalOutputs, boxes: Sequence[Tensor], scale: Tensor) -> ProposalOutputs:
    """The same with other boxes, (G, 4) in [0, 1] for each clip."""
    counts = torch.tensor([len(each) for each in boxes], device=scale.device)
    mask = torch.arange(max(int(counts.max()), 1), device=scale.device) < counts[:, None]  # (N, K)
    padded = scale.new_zeros(*mask.shape, 4)
    padded[mask] = torch.cat([each.to(scale) for each in boxes]) * scale
    return replace(proposals, boxes=padded, mask=mask, scores=padded.new_zeros(mask.shape))


def box_records(
    outputs: Sequence[MatchingOutputs], every: Sequence[Tensor], truth: Sequence[Tensor]
) -> list[ClipRecord]:
    """The true boxes of everybody, each scored as the query's action."""
    scores = [
        logits[mask].softmax(-1)[:, -1].cpu()
        for output in outputs
        for logits, mask in zip(output.logits, output.mask, strict=True)
    ]
    return [ClipRecord(boxes, score, true) for boxes, score, true in zip(every, scores, truth, strict=True)]


def clip_records(detections: Sequence[Detections], truth: Sequence[Tensor]) -> list[ClipRecord]:
    same = [of_label(clip, LABEL_SAME) for clip in detections]
    return [ClipRecord(found.boxes, found.scores, true) for found, true in zip(same, truth, strict=True)]


def on_cpu(clip: Detections) -> Detections:
    return Detections(clip.boxes.cpu(), clip.scores.cpu(), clip.labels.cpu())


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


def check_spec(checkpoint: Checkpoint, store: FeatureStore) -> None:
    besides = {"flipped"} if checkpoint.head.propagation.needs_flow else {"flipped", "flow"}
    different = checkpoint.spec.differences(store.spec, besides | {"compress"})
    if different:
        raise ValueError(f"the head was trained on other features than the store holds: {'; '.join(different)}. "
                         "Extract again as the head wants them, or train on this store.")
    if (kept := store.spec.compress) != (learned := checkpoint.spec.compress):
        logging.getLogger("stvr").warning(
            f"{store} keeps features as {kept}, the head was trained on {learned} ones: scores may differ a little."
        )


def choose_split(pairs: Sequence[Pair], split: str | None) -> list[Pair]:
    if split is None:
        chosen = [pair for pair in pairs if pair.split == "test"]
        return chosen or list(pairs)
    chosen = [pair for pair in pairs if pair.split == split]
    if not chosen:
        there = ", ".join(sorted({pair.split for pair in pairs}))
        raise LookupError(f"no pair has split {split!r}; the file has: {there or 'no pairs at all'}.")
    return chosen
