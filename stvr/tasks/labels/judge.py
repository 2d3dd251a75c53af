"""How good is a classifier: top-1, top-5 and mean class accuracy, beside always answering the most frequent class."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from stvr.heads import ClassOptions, Head, Reads
from stvr.heads.checkpoint import Checkpoint
from stvr.heads.promises import checked_probabilities, faults_of
from stvr.metrics.as_json import finite
from stvr.metrics.classification import (
    mean_class_accuracy,
    multilabel_average_precision,
    multilabel_map,
    top_k_accuracy,
)
from stvr.store import FeatureStore
from stvr.structures import LabelBatch, Span
from stvr.tasks.choosing import of_split, refuse_what_is_for_pairs, sample
from stvr.tasks.labels.file import Stretch, found_in, read_labels
from stvr.tasks.labels.segments import middle_steps
from stvr.tasks.labels.steps import Steps, together
from stvr.tasks.labels.training import shown_in

BATCH = 32
PROBE, EQUAL = "most frequent class", "equal scores"


class Classifies(Protocol):
    """What of a session is needed here."""

    loaded: Checkpoint
    device: str
    reads: Reads


def evaluate(
    session: Classifies,
    store: FeatureStore,
    labels_path: Path,
    *,
    split: str | None = None,
    seed: int = 0,
    limit: int | None = None,
    audit: bool = False,
    dials: Path | None = None,
    report: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Classifies every stretch of a split, each read at the middle of its parts: the same figures every time.

    split: None takes "test" where there is one, else all. limit: a sample of so many, drawn by the seed. Stretches that
    are not in the store, or whose class the head does not have, are left out and counted. Every figure is in [0, 1].
    report(done, total) tells of progress.
    """
    refuse_what_is_for_pairs(audit, dials)
    options = session.loaded.options
    assert isinstance(options, ClassOptions)
    every = read_labels(labels_path, store.spec.clip)
    items, left_out = usable(of_split(every, split, "row"), store, options.classes, options.loss == "multi_label")
    items = sample(items, limit, seed)
    probabilities = classify(session, store, [span for _, span in items], report).numpy()
    shown = [stretch.label for stretch, _ in items]
    trained = [each.label for each in every if each.split == "train"]
    figures = several_figures if options.loss == "multi_label" else single_figures
    return {
        "split": sorted({stretch.split for stretch, _ in items}),
        "evaluated": f"{len(items)} of {len(items) + left_out} labelled stretches",
        **figures(probabilities, shown, trained, options.classes),
        "labels_digest": f"sha256:{hashlib.sha256(labels_path.read_bytes()).hexdigest()}",
    }


def single_figures(
    probabilities: np.ndarray, shown: Sequence[str], trained: Sequence[str], classes: Sequence[str]
) -> dict[str, Any]:
    """Of stretches that show one class each: top-1, top-5, mean class accuracy, and each class."""
    truth = np.array([classes.index(label) for label in shown])
    usual = Counter(label for label in trained if label in classes)
    guess = classes.index(max(usual or Counter(classes), key=usual.__getitem__))
    top = top_k_accuracy(probabilities, truth)
    return {
        "top_k": {str(k): finite(value) for k, value in top.items()},
        "mean_class_accuracy": finite(mean_class_accuracy(probabilities, truth)),
        "probes": {PROBE: float((truth == guess).mean())},
        "per_class": per_class(probabilities.argmax(1), truth, classes),
    }


def several_figures(
    probabilities: np.ndarray, shown: Sequence[str], trained: Sequence[str], classes: Sequence[str]
) -> dict[str, Any]:
    """Of stretches that show several classes each: the average precision of each class, and their mean, as Charades."""
    truth = np.array([[name in shown_in(label, True) for name in classes] for label in shown])
    precisions = multilabel_average_precision(probabilities, truth)
    return {
        "mean_average_precision": finite(multilabel_map(probabilities, truth)),
        "probes": {EQUAL: finite(multilabel_map(np.ones(truth.shape), truth))},
        "per_class": {name: {"support": int(truth[:, number].sum()), "average_precision": float(precisions[number])}
                      for number, name in enumerate(classes) if truth[:, number].any()},
    }


def usable(
    stretches: Sequence[Stretch], store: FeatureStore, classes: Sequence[str], several: bool = False
) -> tuple[list[tuple[Stretch, Span]], int]:
    """Those that can be judged, with their clips; how many cannot, which a warning tells. several: as in `shown_in`."""
    known = [each for each in stretches if set(shown_in(each.label, several)) & {*classes}]
    if not known:
        raise LookupError(f"none of the {len(stretches)} stretches shows a class that the head has, such as "
                          f"{classes[0]!r}; the first shows {stretches[0].label!r}.")
    items, reasons = found_in(known, store)
    strangers = sorted({each.label for each in stretches} - {each.label for each in known})
    if strangers:
        reasons.append(f"{len(stretches) - len(known)} are of classes that the head does not have, {strangers[0]!r} "
                       "first")
    if reasons:
        logging.getLogger("stvr").warning("%d of %d labelled stretches are left out: %s",
                                          len(stretches) - len(items), len(stretches), reasons[-1])
    return items, len(stretches) - len(items)


def classify(
    session: Classifies, store: FeatureStore, spans: Sequence[Span], report: Callable[[int, int], None] | None
) -> Tensor:
    """Probabilities (N, classes) of spans of a store, on the CPU."""
    head, options = session.loaded.head, session.loaded.options
    assert isinstance(options, ClassOptions)
    steps = Steps(store.only(session.loaded.spec.endpoints), session.reads.cells, kept_bytes=0)
    found = []
    for start in range(0, len(spans), BATCH):
        part = spans[start : start + BATCH]
        chosen = [middle_steps(steps.count(span), options.segments) for span in part]
        read = [steps.read(*each) for each in zip(part, chosen, strict=True)]
        boxes = [steps.boxes(*each) for each in zip(part, chosen, strict=True)] if session.reads.boxes else [None]
        maps = {name: torch.stack([each[name] for each in read]) for name in read[0]}
        found.append(probabilities_of(head, maps, session.device, together(boxes)))
        if report:
            report(start + len(part), len(spans))
    return torch.cat(found)


@torch.inference_mode()
def probabilities_of(head: Head, maps: dict[str, Tensor], device: str, boxes: Tensor | None = None) -> Tensor:
    """What a head says of maps (B, S, H, W, C) by endpoint and boxes (B, S, K, 4): (B, classes), on the CPU."""
    labels = torch.zeros(len(next(iter(maps.values()))), dtype=torch.long)
    with faults_of(head, "answers()"):
        probabilities = head.answers(head(LabelBatch(maps, labels, boxes).to(device)))
    return checked_probabilities(head, probabilities, len(labels)).cpu()


def per_class(answers: np.ndarray, truth: np.ndarray, classes: Sequence[str]) -> dict[str, dict[str, float | int]]:
    """Of each class that occurs: how many stretches show it, and the share that is answered with it."""
    return {name: {"support": int(shown.sum()), "accuracy": float((answers[shown] == number).mean())}
            for number, name in enumerate(classes) if (shown := truth == number).any()}
