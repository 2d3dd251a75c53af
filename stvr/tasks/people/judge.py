"""How good is a head that finds people and what they do: AVA's frame-mAP after every step, and at the true boxes."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from stvr.annotations.ava_detections import EVALUATORS, Entry, laid_out
from stvr.heads import PeopleOptions
from stvr.heads.checkpoint import Checkpoint
from stvr.heads.promises import checked_answers, faults_of
from stvr.labels import number_and_name
from stvr.metrics import METRIC_VERSION
from stvr.metrics.as_json import finite
from stvr.metrics.ava_frame_map import IOU, ActionAP, ava_frame_map, mean_ap
from stvr.store import FeatureStore
from stvr.structures import Detections, Span
from stvr.tasks.choosing import of_split, refuse_what_is_for_pairs, sample
from stvr.tasks.people.around import batch_of, read_keyframe
from stvr.tasks.people.detections import Row, as_text, rows_of
from stvr.tasks.people.file import Keyframe, classes_in, found_in, read_people

BATCH = 4
TRUE_BOXES, NO_CLASS = "true boxes, the head's classes", "true boxes, all classes alike"


class Detects(Protocol):
    """What of a session is needed here."""

    loaded: Checkpoint
    device: str


def evaluate(
    session: Detects,
    store: FeatureStore,
    people_path: Path,
    *,
    split: str | None = None,
    seed: int = 0,
    limit: int | None = None,
    audit: bool = False,
    dials: Path | None = None,
    report: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Looks at every keyframe of a split and counts as AVA's official evaluator does.

    split: None takes "test" where there is one, else all. limit: a sample of so many, drawn by the seed. Keyframes
    whose clip is not in the store are left out and counted. "files" holds the detections of every step as AVA's CSV, to
    be scored elsewhere. Every figure is in [0, 1]; NaN is null. report(done, total) tells of progress.
    """
    refuse_what_is_for_pairs(audit, dials)
    options = session.loaded.options
    assert isinstance(options, PeopleOptions)
    every = of_split(read_people(people_path), split, "keyframe")
    items, reasons = found_in(every, store)
    if reasons:
        logging.getLogger("stvr").warning("%d of %d keyframes need clips that are not there, and are left out: %s",
                                          len(reasons), len(every), reasons[0])
    items = sample(items, limit, seed)
    keyframes = [keyframe for keyframe, _ in items]
    steps, given = look_at_all(session, store, items, report)
    classes = {number: name for number, name in map(number_and_name, {**dict.fromkeys(options.classes),
                                                                       **dict.fromkeys(classes_in(every))})}
    scored = {str(number): score(rows, keyframes, classes) for number, rows in enumerate(steps, start=1)}
    probes = {TRUE_BOXES: score(given, keyframes, classes),
              NO_CLASS: score([row.scored(1.0) for row in given], keyframes, classes)}
    strangers = sorted(set(classes_in(keyframes)) - set(options.classes))
    if strangers:
        logging.getLogger("stvr").warning("%d classes were never seen in training and count as missed, %r first",
                                          len(strangers), strangers[0])
    return {
        "metric": "AVA frame-mAP", "metric_version": METRIC_VERSION, "iou": IOU, "evaluator": "official",
        "split": sorted({keyframe.split for keyframe in keyframes}),
        "evaluated": f"{len(items)} of {len(every)} keyframes",
        "mAP": finite(mean_ap(list(scored.values())[-1])) if scored else None,
        "steps": {name: finite(mean_ap(actions)) for name, actions in scored.items()},
        "probes": {name: finite(mean_ap(actions)) for name, actions in probes.items()},
        "per_class": per_class(classes, scored, probes[TRUE_BOXES]),
        "people_digest": f"sha256:{hashlib.sha256(people_path.read_bytes()).hexdigest()}",
        "files": {f"step{number}.csv": as_text(rows) for number, rows in enumerate(steps, start=1)},
    }  # fmt: skip


@torch.inference_mode()
def look_at_all(
    session: Detects, store: FeatureStore, items: Sequence[tuple[Keyframe, Span]],
    report: Callable[[int, int], None] | None,
) -> tuple[list[list[Row]], list[Row]]:  # fmt: skip
    """What is found after each step, and what the true boxes are said to show; in AVA's rows."""
    head, options = session.loaded.head, session.loaded.options
    assert isinstance(options, PeopleOptions)
    read_from = store.only(session.loaded.spec.endpoints)
    steps: list[list[Row]] = []
    given: list[Row] = []
    for start in range(0, len(items), BATCH):
        part = items[start : start + BATCH]
        read = [read_keyframe(read_from, keyframe, clip, options.reach, options.classes, {}) for keyframe, clip in part]
        with faults_of(head, "answers()"):
            outputs = head(batch_of(read).to(session.device))
            found = [checked_answers(head, part, each) for each in head.answers(outputs)]
        steps = steps or [[] for _ in found]
        for row, (keyframe, _) in enumerate(part):
            for rows, detections in zip(steps, found, strict=True):
                rows += rows_of(keyframe.video, keyframe.second, detections[row], options.classes)
            given += rows_of(keyframe.video, keyframe.second, of_people(read[row].boxes, outputs.given[row].cpu()),
                             options.classes)
        if report:
            report(start + len(part), len(items))
    return steps, given


def of_people(boxes: torch.Tensor, scores: torch.Tensor) -> Detections:
    """Every class of every true box (G, 4), with scores (G or more, C)."""
    person, label = torch.ones_like(scores[: len(boxes)]).nonzero().unbind(1)
    return Detections(boxes[person], scores[person, label], label)


def score(rows: Sequence[Row], keyframes: Sequence[Keyframe], classes: Mapping[int, str]) -> dict[int, ActionAP]:
    """AP of each class, by its number, at the keyframes that there are."""
    rules = EVALUATORS["official"]
    found: dict[tuple[str, int], list[Entry]] = {}
    truth: dict[tuple[str, int], list[Entry]] = {}
    for row in rows:
        rules.keep(found.setdefault((row.video, row.second), []), row.entry, rules.max_per_frame)
    for keyframe in keyframes:
        for person in keyframe.people:
            x1, y1, x2, y2 = person.box
            truth.setdefault((keyframe.video, keyframe.second), []).extend(
                (1.0, float(number_and_name(name)[0]), y1, x1, y2, x2) for name in person.classes)
    listed = {(keyframe.video, keyframe.second) for keyframe in keyframes}
    return ava_frame_map(laid_out(found, rules), laid_out(truth, rules), classes, (), listed)


def per_class(
    classes: Mapping[int, str], steps: Mapping[str, Mapping[int, ActionAP]], given: Mapping[int, ActionAP]
) -> dict[str, dict[str, Any]]:
    """Of each class that somebody shows: how many boxes, its AP after each step, and at the true boxes."""
    return {
        classes[number]: {
            "boxes": given[number].num_truth,
            "steps": {name: finite(actions[number].average_precision) for name, actions in steps.items()},
            "true_boxes": finite(given[number].average_precision),
        }
        for number in sorted(classes) if given[number].num_truth
    }  # fmt: skip

