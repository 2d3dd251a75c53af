"""Actions of real clips dealt into folds that share no group, and the pairs of each fold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from real_clips import RealClip

from stvr.annotations.labelled import AnnotatedTubelet
from stvr.structures import Span
from stvr.tasks.pairs.build import build_pairs, write_pairs

NUM_FOLDS = 3
NO_ACTIONS = ("animal", "ball", "vehicle")  # kinds of things, whatever they do
SEED = 0


def is_action(clip: RealClip) -> bool:
    return clip.label not in NO_ACTIONS


def folds_of(clips: Sequence[RealClip]) -> list[list[str]]:
    """The actions that two groups at least show, those that share a group together, the largest lots dealt first."""
    groups: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for clip in clips:
        if is_action(clip):
            groups[clip.label].add((clip.kind, clip.group))
    lots: list[list[str]] = []
    for label in sorted(label for label, own in groups.items() if len(own) > 1):
        near = [lot for lot in lots if any(groups[label] & groups[other] for other in lot)]
        lots = [lot for lot in lots if lot not in near] + [[label, *(each for lot in near for each in lot)]]
    counts = {label: sum(clip.label == label for clip in clips) for label in groups}
    folds: list[list[str]] = [[] for _ in range(NUM_FOLDS)]
    for lot in sorted(lots, key=lambda lot: (-sum(counts[label] for label in lot), lot)):
        min(folds, key=lambda fold: sum(counts[label] for label in fold)).extend(sorted(lot))
    return folds


def write_pairs_of(path: Path, clips: Sequence[RealClip], held_out: Sequence[str]) -> None:
    """Debiased pairs: of other actions to train on, of those that are held out to be asked. No pair is of one group."""
    labels = {name: number for number, name in enumerate(sorted({name_of(clip) for clip in clips}), 1)}
    tubelets = [AnnotatedTubelet(each, (labels[name_of(clip)],), f"{clip.name}/{number}")
                for clip in clips for number, each in enumerate(clip.tubelets)]  # fmt: skip
    extents = {clip.name: Span(clip.name, 0, clip.num_clips) for clip in clips}
    trains = {clip.name for clip in clips if clip.label not in held_out}
    pairs = build_pairs(tubelets, extents, held_out={"test": [(labels[name],) for name in held_out]},
                        train_videos=trains, seed=SEED)  # fmt: skip
    source = {clip.name: (clip.kind, clip.group) for clip in clips}
    apart = [pair for pair in pairs if source[pair.query.span.video] != source[pair.reference.video]]
    spec = {"fps": 24, "frames_per_clip": 8}
    write_pairs(path, apart, {"clip": spec, "protocol": "debiased", "seed": SEED,
                              "labels": {str(number): name for name, number in labels.items()}})  # fmt: skip


def name_of(clip: RealClip) -> str:
    """What it shows; what is no action is like nothing else."""
    return clip.label if is_action(clip) else f"{clip.label}: {clip.name}"
