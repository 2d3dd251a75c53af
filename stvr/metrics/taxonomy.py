"""What goes wrong: one reason for every false detection and every missed box."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from stvr.metrics.average_precision import best_truth, first_to_ask
from stvr.metrics.frame_map import ClipRecord, joined, numbered
from stvr.tubelets.overlaps import Floats, Indices

IOU = 0.5
LOOSE_IOU = 0.1  # below this IoU with every target a detection is background

# kinds of detections; each is exactly one
RIGHT = "right"
DUPLICATE = "duplicate"  # on a target that a better detection has taken
WRONG_TIME = "wrong time"  # on an actor who does it at another time
WRONG_ACTOR = "wrong actor"  # on somebody else
LOOSE = "loose box"  # near a target, IoU 0.1 to 0.5
BACKGROUND = "background"
DETECTION_KINDS = (RIGHT, DUPLICATE, WRONG_TIME, WRONG_ACTOR, LOOSE, BACKGROUND)
# kinds of true boxes; each is exactly one
FOUND = "found"
MISSED_PROPOSAL = "missed proposal"  # no proposal of its clip reached it
MISSED_MATCH = "missed match"  # proposed, but not among the detections that count
TRUTH_KINDS = (FOUND, MISSED_PROPOSAL, MISSED_MATCH)


@dataclass(frozen=True, slots=True, eq=False)
class ClipScene:
    """A clip's record, and the proposals (P, 4). others (O, 4): boxes of everybody who does something else; other_times
    (O,) bool: which of them do the query's action at another time."""

    record: ClipRecord
    others: Tensor
    other_times: Tensor
    proposals: Tensor


@dataclass(frozen=True, slots=True)
class Errors:
    """Counts by kind: of the best detections, as many as there are true boxes; and of the true boxes."""

    detections: Mapping[str, int]
    truth: Mapping[str, int]


def taxonomy(pairs: Iterable[tuple[str, Sequence[ClipScene]]]) -> Errors:
    """pairs: label and clips of each. For a label with G true boxes its G best detections count (Hoiem et al. 2012)."""
    by_label: dict[str, list[ClipScene]] = defaultdict(list)
    for label, clips in pairs:
        by_label[label] += clips
    detections, truth = Counter(dict.fromkeys(DETECTION_KINDS, 0)), Counter(dict.fromkeys(TRUTH_KINDS, 0))
    for scenes in by_label.values():
        kinds, true_kinds = label_errors(scenes)
        detections.update(kinds)
        truth.update(true_kinds)
    return Errors(dict(detections), dict(truth))


def label_errors(scenes: Sequence[ClipScene]) -> tuple[list[str], list[str]]:
    """The kind of each detection that counts, and of each true box, of one label."""
    records = [scene.record for scene in scenes]
    targets, target_clip = all_boxes([record.truth for record in records])
    scores = joined([record.scores for record in records], ())
    order = np.argsort(-scores, kind="stable")[: len(targets)]
    found, found_clip = all_boxes([record.boxes for record in records])
    boxes, clip = found[order], found_clip[order]
    overlap, wanted = best_truth(boxes, clip, targets, target_clip)
    right = first_to_ask(overlap, wanted, len(targets), [IOU])[0]
    others, other_clip = all_boxes([scene.others for scene in scenes])
    on_other, who = best_truth(boxes, clip, others, other_clip)
    does_it = joined([scene.other_times for scene in scenes], ()).astype(bool)
    somebody = (on_other >= IOU) & (who >= 0)
    at_other_time = np.zeros(len(boxes), bool)
    at_other_time[somebody] = does_it[who[somebody]]
    kinds = np.select(
        [right, overlap >= IOU, somebody & at_other_time, somebody, overlap >= LOOSE_IOU],
        [RIGHT, DUPLICATE, WRONG_TIME, WRONG_ACTOR, LOOSE],
        BACKGROUND,
    )
    proposed, _ = best_truth(targets, target_clip, *all_boxes([scene.proposals for scene in scenes]))
    was_found = np.zeros(len(targets), bool)
    was_found[wanted[right]] = True
    true_kinds = np.select([was_found, proposed < IOU], [FOUND, MISSED_PROPOSAL], MISSED_MATCH)
    return kinds.tolist(), true_kinds.tolist()


def all_boxes(parts: Sequence[Tensor]) -> tuple[Floats, Indices]:
    """Boxes (N, 4) of all clips, and the clip of each (N,)."""
    return joined(list(parts), (4,)), numbered(parts)
