"""What a pairs file holds and gives away: lengths, positions of targets, shared videos, subset labels, support."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np

from stvr.labels import actions_of
from stvr.structures import ClipSpec, Pair, Tubelet

THIRDS = ("first", "middle", "last")


def audit(pairs: Sequence[Pair], spec: ClipSpec | None = None) -> dict[str, dict[str, Any]]:
    """By split, JSON values:

    query_seconds, reference_seconds: length, rounded to seconds -> how many pairs. target_position: the share of the
    clips in each third of a reference that hold a target, over the pairs with a target. same_video: pairs whose query
    is from the reference's video. own_target: pairs whose query is one of its targets. without_target: pairs without a
    target. subset_labels: [label, a label with these actions and more]. support: label -> pairs and targets.
    one_video: the most pairs that share the video of the reference.
    """
    splits = sorted({pair.split for pair in pairs}, key=["train", "val", "test"].index)
    return {split: _audit([pair for pair in pairs if pair.split == split], spec or ClipSpec()) for split in splits}


def headline(split: str, found: dict[str, Any]) -> str:
    """The audit of one split in one line."""
    total = sum(found["query_seconds"].values())
    shares = [found["target_position"][third] for third in THIRDS]
    position = " / ".join("-" if share is None else f"{share:.2f}" for share in shares)
    shortest = found["query_seconds"].get("1", 0) / total
    subsets = len({label for label, _ in found["subset_labels"]})
    return (f"{split}: {shortest:.1%} of queries last 1 s; references last {span_of(found['reference_seconds'])} s; "
            f"share of clips with a target in their first / middle / last third {position}; query and reference from "
            f"one video {found['same_video'] / total:.1%}, query its own target {found['own_target'] / total:.1%}; "
            f"{subsets} of {len(found['support'])} labels are part of another")


def span_of(lengths: dict[str, int]) -> str:
    seconds = sorted(map(int, lengths))
    return f"{seconds[0]}" if len(seconds) == 1 else f"{seconds[0]} to {seconds[-1]}"


def _audit(pairs: Sequence[Pair], spec: ClipSpec) -> dict[str, Any]:
    support = {label: {"pairs": 0, "targets": 0} for label in sorted({pair.label for pair in pairs}, key=_ids)}
    for pair in pairs:
        support[pair.label]["pairs"] += 1
        support[pair.label]["targets"] += len(pair.targets)
    return {
        "query_seconds": _lengths([len(pair.query.span) for pair in pairs], spec),
        "reference_seconds": _lengths([len(pair.reference) for pair in pairs], spec),
        "target_position": target_position(pairs),
        "same_video": sum(pair.query.span.video == pair.reference.video for pair in pairs),
        "own_target": sum(shows_itself(pair) for pair in pairs),
        "without_target": sum(not pair.targets for pair in pairs),
        "one_video": max(Counter(pair.reference.video for pair in pairs).values()),
        "subset_labels": subset_labels(list(support)),
        "support": support,
    }


def target_position(pairs: Sequence[Pair]) -> dict[str, float | None]:
    """P(a clip holds a target | its third of the reference); None for a third that no reference reaches."""
    held, seen = np.zeros(3), np.zeros(3)
    for pair in pairs:
        if pair.targets:
            length = len(pair.reference)
            third = (3 * (2 * np.arange(length) + 1)) // (2 * length)  # by the clip's middle
            holds = np.zeros(length, bool)
            for target in pair.targets:
                holds[target.span.start - pair.reference.start : target.span.stop - pair.reference.start] = True
            held += np.bincount(third, holds, minlength=3)
            seen += np.bincount(third, minlength=3)
    return {name: float(h / n) if n else None for name, h, n in zip(THIRDS, held, seen, strict=True)}


def shows_itself(pair: Pair) -> bool:
    """Whether the query is one of its own targets."""
    return any(same_boxes(pair.query, target) for target in pair.targets)


def same_boxes(query: Tubelet, target: Tubelet) -> bool:
    shared = query.span.overlap(target.span)
    if shared is None:
        return False
    one, other = query.within(shared), target.within(shared)
    assert one is not None
    assert other is not None
    return bool((one.boxes - other.boxes).abs().max() < 1e-5)


def subset_labels(labels: Sequence[str]) -> list[list[str]]:
    """[label, label with all its actions and more]: where labels must match exactly, a right answer counts as wrong."""
    sets = {label: frozenset(actions_of(label)) for label in labels}
    return [[less, more] for less, more in permutations(sets, 2) if sets[less] < sets[more]]


def _lengths(clips: Sequence[int], spec: ClipSpec) -> dict[str, int]:
    counts = Counter(round(spec.seconds_at(length)) for length in clips)
    return {str(seconds): counts[seconds] for seconds in sorted(counts)}


def _ids(label: str) -> tuple[object, ...]:
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in actions_of(label))
