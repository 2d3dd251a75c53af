"""Do pairs match their annotations? Scored as detections, the annotations must reach AP 1 on the pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from stvr.annotations.rows import EDGES, Annotations
from stvr.labels import label_text
from stvr.metrics import ClipRecord, PairRecord, frame_map, match_clip
from stvr.structures import ClipSpec, Pair
from stvr.tasks.pairs.truth import targets_by_clip

PAIRS_A_LABEL = 50  # checked of each label, spread over its pairs
THRESHOLD = 0.5


def failing_labels(pairs: Sequence[Pair], annotations: Annotations, spec: ClipSpec) -> dict[str, str]:
    """Label -> a line with its AP at IoU 0.5 and the first clip that does not match, for labels below AP 1.

    The detections are the annotated boxes that stand at each clip's middle, looked up independently of the pairs.
    """
    chosen, moments = spread(pairs), Moments(annotations)
    records = {id(pair): record(pair, moments, spec) for pair in chosen}
    found = frame_map(records.values(), (THRESHOLD,))
    lines = {}
    for label, table in found.per_label.items():
        labelled = [pair for pair in chosen if pair.label == label]
        clips = [clip for pair in labelled for clip in records[id(pair)].clips]
        more = sum(len(clip.boxes) for clip in clips) - sum(len(clip.truth) for clip in clips)
        if more or (found.boxes[label] and table[THRESHOLD] < 1 - 1e-9):
            where = next(filter(None, (first_mismatch(pair, records[id(pair)]) for pair in labelled)))
            lines[label] = f"label {label}: AP {table[THRESHOLD]:.4f}, first in {where}"
    return lines


class Moments:
    """Annotated boxes by video and label, found by time."""

    def __init__(self, annotations: Annotations) -> None:
        table = annotations.boxes
        names = table["labels"].map(label_text)
        self.groups = {key: (group["start"].to_numpy(float), group["stop"].to_numpy(float),
                             group[EDGES].to_numpy(np.float32))
                       for key, group in table.groupby([table["video"], names], sort=False)}

    def at(self, video: str, label: str, seconds: float) -> torch.Tensor:
        """Boxes (N, 4) that stand at a time."""
        start, stop, boxes = self.groups.get((video, label), (np.zeros(0), np.zeros(0), np.zeros((0, 4), np.float32)))
        return torch.from_numpy(boxes[(start <= seconds + 1e-6) & (seconds + 1e-6 < stop)])


def record(pair: Pair, moments: Moments, spec: ClipSpec) -> PairRecord:
    clips = []
    for clip, targets in enumerate(targets_by_clip(pair), start=pair.reference.start):
        found = moments.at(pair.reference.video, pair.label, spec.middle_of(clip))
        clips.append(ClipRecord(found, torch.ones(len(found)), targets.boxes))
    return PairRecord(pair.label, clips)


def first_mismatch(pair: Pair, found: PairRecord) -> str:
    """The first clip in which a pair's targets and the detections differ; empty where there is none."""
    for offset, clip in enumerate(found.clips):
        matched = match_clip(clip.boxes, clip.scores, clip.truth, (THRESHOLD,)).sum()
        if not len(clip.boxes) == len(clip.truth) == matched:
            return (f"{pair.reference.video!r}, clip {pair.reference.start + offset}: {len(clip.truth)} true boxes, "
                    f"{len(clip.boxes)} annotated, {matched} matched")
    return ""


def spread(pairs: Sequence[Pair]) -> list[Pair]:
    """At most PAIRS_A_LABEL pairs of each label, evenly over the file."""
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(pair.label, []).append(pair)
    chosen = []
    for group in groups.values():
        picks = np.linspace(0, len(group) - 1, min(len(group), PAIRS_A_LABEL)).round().astype(int)
        chosen += [group[index] for index in picks]
    return chosen
