"""Faults of annotations, found before anything is trained on them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from stvr.annotations.ava import FIFTEEN_MINUTES
from stvr.annotations.rows import EDGES, Annotations, Rows, gather_labels, merge
from stvr.annotations.units import empty, far_out
from stvr.labels import actions_of, label_text
from stvr.structures import ClipSpec, Pair
from stvr.tasks.pairs.build import build_pairs
from stvr.tasks.pairs.prepare import PairOptions, tubelets_within
from stvr.tasks.pairs.truth_check import failing_labels

IN_PIXELS = 2.0  # an edge beyond this is in pixels: no box sticks out of the picture so far
SHIFTS = (1, -1)  # for label ids that count from 0 while the map counts from 1, and the other way round
AVA_OFFSET = FIFTEEN_MINUTES[0]  # AVA's seconds count from the start of the film, those of a cut video from here


@dataclass(frozen=True, slots=True)
class Fault:
    """kind: which check failed; message: one line; count: how often; places: each of them, for people to look at."""

    kind: str
    message: str
    count: int = 1
    places: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Videos:
    """What is known of the video files: how many clips each has, and why some of them cannot be read.

    offsets: seconds of their first pictures, on the clock that the annotations use; 0 where none. seconds: how long
    they last, where it is known better than by whole clips.
    """

    clips: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    offsets: Mapping[str, float] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """faults: to correct before training. notes: worth knowing, but no faults. seen: counts of what was checked."""

    faults: Sequence[Fault]
    notes: Sequence[Fault]
    seen: Mapping[str, int]

    def lines(self, most: int = 20) -> list[str]:
        """For people: each fault with its first places, then the notes, then what was checked."""
        lines = []
        for word, group in (("fault", self.faults), ("note", self.notes)):
            for each in group:
                lines.append(f"{word}: {each.message}")
                lines += [f"  {place}" for place in each.places[:most]]
                lines += [f"  ... and {len(each.places) - most} more"] * (len(each.places) > most)
        seen = ", ".join(f"{count} {what}" for what, count in self.seen.items())
        return [*lines, f"{len(self.faults)} faults found" if self.faults else "no fault found", f"checked {seen}"]

    def to_json(self) -> dict[str, Any]:
        return {"clean": not self.faults, "seen": dict(self.seen), "faults": [asdict(each) for each in self.faults],
                "notes": [asdict(each) for each in self.notes]}


def check(parts: Sequence[Rows], videos: Videos | None = None, options: PairOptions | None = None,
          pairs: Sequence[Pair] | None = None) -> Report:
    """Everything that can be found wrong in annotations before training.

    videos: None skips the checks that need the video files. pairs: from a pairs file made of these annotations; None
    makes them as `options` say, with nothing held out. Faulty rows are not linked.
    """
    options = options or PairOptions()
    faults = [fault for part in parts for fault in check_rows(part, options.spec, videos)]
    annotations = merge([gathered(without_faults(part)) for part in parts])
    annotations = annotations.after_first_picture(videos.offsets if videos else {})
    tubelets, extents = tubelets_within(annotations, None if videos is None else videos.clips, options)
    if pairs is None:
        pairs = build_pairs(tubelets, extents, held_out={}, protocol=options.protocol, seed=options.seed,
                            absent_share=options.absent_share, spec=options.spec)
    unpaired = {label_text(tubelet.label) for tubelet in tubelets} - {pair.label for pair in pairs}
    more, notes = check_pairs(annotations, pairs, options.protocol, unpaired, options.spec)
    seen = {"rows": sum(len(part.table) for part in parts), "boxes": len(annotations.boxes),
            "videos": annotations.boxes["video"].nunique(), "tubelets": len(tubelets), "pairs": len(pairs)}
    return Report([*faults, *more], [*notes, *unannotated(annotations, videos)], seen)


def check_rows(rows: Rows, spec: ClipSpec, videos: Videos | None = None) -> list[Fault]:
    """Every fault in the rows of one file; `videos` None skips the checks that need the video files."""
    faults = [*check_left_out(rows), *check_units(rows), *check_coordinates(rows), *check_moments(rows),
              *check_labels(rows)]
    return faults if videos is None else [*faults, *check_times(rows, videos, spec)]


def without_faults(rows: Rows) -> Rows:
    """The rows that can be linked: boxes in the picture, one for each person and moment."""
    edges = rows.table[EDGES].to_numpy(np.float64)
    table = rows.table[~far_out(edges, in_pixels=True).any(axis=1) & ~empty(edges)]
    first = table.groupby(["video", "person", "start"], sort=False)[EDGES].transform("first")
    return replace(rows, table=table[(table[EDGES] == first).all(axis=1)], in_pixels=True)


def gathered(rows: Rows) -> Annotations:
    """Faultless rows with their boxes clipped and their labels together, in whatever units they are as a whole."""
    table, num_clipped = rows.clipped()
    return Annotations(gather_labels(table, rows.source), dict(rows.names), num_clipped, dict(rows.extents))


def check_left_out(rows: Rows) -> list[Fault]:
    """What the reader itself did not use: tubes without a box, videos that no file has the name of."""
    return [Fault("left out", f"{rows.source}: {each}", each.count, list(each.videos)) for each in rows.left_out]


def check_units(rows: Rows) -> list[Fault]:
    fault = rows.other_units()
    return [Fault("units", fault)] if fault else []


def unannotated(annotations: Annotations, videos: Videos | None) -> list[Fault]:
    extra = sorted(set(videos.clips if videos else ()) - set(annotations.boxes["video"]))
    return [Fault("video without a box", f"{len(extra)} video files have no annotation", len(extra), extra)
            ] if extra else []


def check_coordinates(rows: Rows) -> list[Fault]:
    """Boxes outside the picture, in pixels, swapped or empty, and edges that are not numbers."""
    edges = rows.table[EDGES].to_numpy(np.float64)
    broken = ~np.isfinite(edges).all(1)
    pixels = ~broken & (edges > IN_PIXELS).any(1)
    swapped = ~broken & ((edges[:, 2:] <= edges[:, :2]).any(1))
    outside = ~broken & ~pixels & ((edges < 0) | (edges > 1)).any(1)
    checks = {
        "not a number": (broken, "boxes have an edge that is not a finite number"),
        "pixels": (pixels, f"boxes have an edge above {IN_PIXELS:g}: they are in pixels. Divide by the picture's size"),
        "swapped": (swapped, "boxes are swapped or empty: wanted x1 < x2 and y1 < y2, in the order x1, y1, x2, y2"),
        "outside": (outside, "boxes stick out of the picture: an edge is outside 0..1 (prepare clips them)"),
    }  # fmt: skip
    return [Fault(kind, f"{rows.source}: {len(boxes)} {what}", len(boxes), boxes)
            for kind, (wrong, what) in checks.items() if (boxes := places(rows, wrong, edges))]


def places(rows: Rows, wrong: np.ndarray, edges: np.ndarray) -> list[str]:
    """The boxes that are wrong, each with its first line: a box is repeated on the row of each of its labels."""
    table = rows.table.loc[wrong, ["line", "video", "person", "start"]].copy()
    table["box"] = [tuple(box) for box in edges[wrong].tolist()]
    table = table.drop_duplicates(["video", "person", "start", "box"])
    return [f"line {line}: {video}, person {person}, {start:g} s, box {', '.join(f'{edge:.6g}' for edge in box)}"
            for line, video, person, start, box in table.itertuples(index=False)]


def check_moments(rows: Rows) -> list[Fault]:
    """Persons with two boxes at one moment."""
    moment = ["video", "person", "start"]
    boxes = rows.table[[*moment, *EDGES]].drop_duplicates()
    twice = boxes.loc[boxes.duplicated(moment), moment].drop_duplicates()
    if not len(twice):
        return []
    moments = [f"{video}, person {person}, {start:g} s" for video, person, start in twice.itertuples(index=False)]
    return [Fault("two boxes", f"{rows.source}: {len(moments)} times a person has two boxes at one moment",
                  len(moments), moments)]


def check_labels(rows: Rows) -> list[Fault]:
    """Ids that are not in the label map, and whether all of them would be if they were one higher or lower."""
    if not rows.names:
        return []
    counts = rows.table["label"].value_counts().sort_index()
    ids, known = {int(label) for label in counts.index}, set(rows.names)
    unknown = sorted(ids - known)
    if not unknown:
        return []
    shift = next((step for step in SHIFTS if {label + step for label in ids} <= known), None)
    if shift is not None:
        message = (f"{rows.source}: label ids are off by one: they run from {min(ids)} to {max(ids)}, the label map's "
                   f"from {min(known)} to {max(known)}. {'Add 1 to' if shift > 0 else 'Subtract 1 from'} every id")
        return [Fault("label offset", message, int(counts.sum()), [f"id {label}" for label in unknown])]
    hint = ". The map holds only the challenge's 60 of AVA's 80 classes" if len(known) == 60 and max(ids) <= 80 else ""
    message = f"{rows.source}: {len(unknown)} label ids are not in the label map of {len(known)}{hint}"
    return [Fault("unknown label", message, int(counts[unknown].sum()),
                  [f"id {label} on {counts[label]} rows" for label in unknown])]


def check_times(rows: Rows, videos: Videos, spec: ClipSpec) -> list[Fault]:
    """Moments after the end of their video; videos without a file, and files that cannot be read."""
    annotated = sorted(set(rows.table["video"]))
    failed = {video: videos.failed[video] for video in annotated if video in videos.failed}
    missing = [video for video in annotated if video not in videos.clips and video not in failed]
    faults = []
    if missing:
        faults.append(Fault("missing video", f"{rows.source}: {len(missing)} of {len(annotated)} videos have no file",
                            len(missing), missing))
    if failed:
        faults.append(Fault("undecodable video", f"{rows.source}: {len(failed)} videos cannot be read", len(failed),
                            [f"{video}: {reason}" for video, reason in failed.items()]))
    lasting = {video: videos.seconds.get(video, spec.seconds_at(clips)) for video, clips in videos.clips.items()}
    seconds = rows.table["video"].map({video: videos.offsets.get(video, 0.0) + each for video, each in lasting.items()})
    late = rows.table["start"] >= seconds  # False where the length is not known
    if late.any():
        faults.append(late_fault(rows, rows.table[late], seconds))
    return faults


def late_fault(rows: Rows, late: pd.DataFrame, seconds: pd.Series) -> Fault:
    moments = late.drop_duplicates(["video", "start"])
    lines = [f"line {line}: {video} at {start:g} s, the file lasts {seconds[index]:.2f} s"
             for index, line, video, start in moments[["line", "video", "start"]].itertuples()]
    cut = (late["start"] - AVA_OFFSET).between(0, seconds[late.index]).all()
    hint = f". The videos seem to be cut: with --offset-seconds {AVA_OFFSET} all of them would fit" if cut else ""
    return Fault("outside the video", f"{rows.source}: {len(lines)} annotated moments lie after the end of their "
                                      f"video{hint}", len(lines), lines)


def check_pairs(annotations: Annotations, pairs: Sequence[Pair], protocol: str, unpaired: Collection[str],
                spec: ClipSpec) -> tuple[list[Fault], list[Fault]]:
    """Faults and notes about the pairs: actions without a pair, labels whose targets the annotations do not match.

    unpaired: the combined labels that have tubelets but no pair. It is a fault only if an action has no pair under any
    of its labels.
    """
    paired = {int(action) for pair in pairs for action in actions_of(pair.label)}
    annotated = {action for label in set(annotations.boxes["labels"]) for action in label}
    lost = [f"{action} {annotations.names.get(action, '')}".strip() for action in sorted(annotated - paired)]
    faults, notes = [], []
    if lost:
        faults.append(Fault("no pair", f"{len(lost)} of {len(annotated)} annotated actions are in no pair under the "
                                       f"{protocol} protocol", len(lost), lost))
    if unpaired:
        notes.append(Fault("label without a pair", f"{len(unpaired)} combined labels have no pair under the {protocol} "
                                                   "protocol: too few tubelets or videos", len(unpaired),
                           sorted(unpaired)))
    failing = failing_labels(pairs, annotations, spec)
    if failing:
        faults.append(Fault("oracle", f"the annotations, scored as detections, do not reach AP 1 for {len(failing)} "
                                      "labels", len(failing), list(failing.values())))
    unused = [f"{index} {name}" for index, name in annotations.names.items() if index not in annotated]
    if unused:
        notes.append(Fault("nobody does it", f"{len(unused)} of {len(annotations.names)} actions of the label map are "
                                             "never annotated", len(unused), unused))
    return faults, notes
