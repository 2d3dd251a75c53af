"""What of the annotations no pair shows, counted, and what looks wrong in them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from stvr.annotations.frame_counts import NO_FILE
from stvr.annotations.held_out import listed
from stvr.annotations.labelled import AnnotatedTubelet
from stvr.annotations.rows import Annotations, Label, LeftOut
from stvr.labels import label_name, label_text
from stvr.structures import ClipSpec, Pair, Span

UNREADABLE = "the file of their video cannot be read"
BEYOND = "they lie outside their video, or after its last whole clip"
BETWEEN = "they last less than a clip and miss the middle of each"


def outside(annotations: Annotations, tubelets: Sequence[AnnotatedTubelet], extents: Mapping[str, Span],
            spec: ClipSpec, unreadable: Collection[str]) -> list[LeftOut]:
    """The boxes that lie in no video, or outside the part that is used, and the videos of which nothing is left."""
    boxes = annotations.boxes
    used = {tubelet.video for tubelet in tubelets}
    first = boxes["video"].map({video: spec.seconds_at(span.start) for video, span in extents.items()}).astype(float)
    last = boxes["video"].map({video: spec.seconds_at(span.stop) for video, span in extents.items()}).astype(float)
    known = boxes["video"].isin(extents)
    beyond = known & ((boxes["start"] >= last) | (boxes["stop"] <= first))
    broken = boxes["video"].isin(unreadable)
    wrong = {NO_FILE: ~known & ~broken, UNREADABLE: ~known & broken, BEYOND: beyond,
             BETWEEN: known & ~beyond & ~boxes["video"].isin(used)}
    return [_counted(annotations, np.asarray(rows), why, used) for why, rows in wrong.items() if rows.any()]


def _counted(annotations: Annotations, rows: np.ndarray, why: str, used: Collection[str]) -> LeftOut:
    some = annotations.boxes[rows]
    gone = [video for video in some["video"].unique() if video not in used]
    videos = f" of {len(gone)} whole videos" if gone else ""
    first = f"{some['video'].iloc[0]!r} at {some['start'].iloc[0]:g} s"
    return LeftOut(int(rows.sum()), f"boxes{videos}", why, first, gone)


def without_pair(tubelets: Sequence[AnnotatedTubelet], pairs: Sequence[Pair],
                 names: Mapping[int, str]) -> list[LeftOut]:
    """The tubelets of labels that no pair asks for."""
    paired = {pair.label for pair in pairs}
    lost = [tubelet.label for tubelet in tubelets if label_text(tubelet.label) not in paired]
    if not lost:
        return []
    few = listed([label_name(label, names) for label in sorted(set(lost))], most=3)
    return [LeftOut(len(lost), "tubelets", "their labels have too few tubelets or videos to make a pair", few)]


def doubts(annotations: Annotations) -> list[str]:
    """What is used as it stands, but looks like a slip."""
    lines = []
    if annotations.num_clipped:
        lines.append(f"{annotations.num_clipped} boxes stick out of the picture and were clipped")
    used: set[int] = {action for label in set[Label](annotations.boxes["labels"]) for action in label}
    if annotations.names and (unnamed := sorted(used - set(annotations.names))):
        lines.append(f"the label map does not name {listed(list(map(str, unnamed)))}, so ids may be off by one; "
                     "`stvr prepare check` says more")
    alike = defaultdict(list)
    for name in annotations.names.values():
        alike[" ".join(name.split()).casefold()].append(name)
    lines += [f"labels that differ in capitals or spaces alone: {', '.join(map(repr, names))}"
              for names in alike.values() if len(names) > 1]
    return lines
