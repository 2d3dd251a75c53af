"""Faults of annotations, found before anything is trained on them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from stvr.annotations.labelled import link_annotations, trim
from stvr.annotations.rows import EDGES, Annotations, Rows, merge
from stvr.structures import ClipSpec, Pair
from stvr.tasks.pairs.build import build_pairs, label_text
from stvr.tasks.pairs.prepare import PairOptions, extents_of
from stvr.tasks.pairs.truth_check import failing_labels

IN_PIXELS = 2.0  # an edge beyond this is no share of the picture that sticks out, it is in pixels
SHIFTS = (1, -1)  # of label ids that count from 0 where the map counts from 1, and the other way round
AVA_OFFSET = 900  # seconds: AVA's timestamps count from the start of the film, cut videos from 15 minutes on


@dataclass(frozen=True, slots=True)
class Fault:
    """kind: which check; message: one line; count: how often; places: every place, for people to look at."""

    kind: str
    message: str
    count: int = 1
    places: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Videos:
    """What is known of the video files: how many clips each has, and why some cannot be read."""

    clips: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """faults: to be mended before training. notes: worth knowing, no fault. seen: what was looked at."""

    faults: Sequence[Fault]
    notes: Sequence[Fault]
    seen: Mapping[str, int]

    def lines(self, most: int = 20) -> list[str]:
        """For people: each fault with the first places, then the notes, then what was looked at."""
        said = []
        for word, group in (("fault", self.faults), ("note", self.notes)):
            for each in group:
                said.append(f"{word}: {each.message}")
                said += [f"  {place}" for place in each.places[:most]]
                said += [f"  ... and {len(each.places) - most} more"] * (len(each.places) > most)
        seen = ", ".join(f"{count} {what}" for what, count in self.seen.items())
        return [*said, f"{len(self.faults)} faults found" if self.faults else "no fault found", f"looked at {seen}"]

    def to_json(self) -> dict[str, Any]:
        return {"clean": not self.faults, "seen": dict(self.seen), "faults": [asdict(each) for each in self.faults],
                "notes": [asdict(each) for each in self.notes]}


def check(parts: Sequence[Rows], videos: Videos | None = None, options: PairOptions | None = None,
          pairs: Sequence[Pair] | None = None) -> Report:
    """Everything that can be found wrong in annotations before training.

    videos: None leaves out what only the files can tell. pairs: of a pairs file made of these annotations; None makes
    them as `options` say, with nothing held out. Rows at fault are left out of what is linked.
    """
    options = options or PairOptions()
    faults = [fault for part in parts for fault in check_rows(part, options.spec, videos)]
    annotations = merge([without_faults(part).checked() for part in parts])
    linked = link_annotations(annotations, options.spec)
    extents = extents_of(annotations, linked, None if videos is None else videos.clips, options)
    tubelets = trim(linked, extents)
    if pairs is None:
        pairs = build_pairs(tubelets, extents, held_out={}, protocol=options.protocol, seed=options.seed,
                            absent_share=options.absent_share, spec=options.spec)
    unpaired = {label_text(tubelet.label) for tubelet in tubelets} - {pair.label for pair in pairs}
    more, notes = check_pairs(annotations, pairs, options.protocol, unpaired, options.spec)
    seen = {"rows": sum(len(part.table) for part in parts), "boxes": len(annotations.boxes),
            "videos": annotations.boxes["video"].nunique(), "tubelets": len(tubelets), "pairs": len(pairs)}
    return Report([*faults, *more], [*notes, *unannotated(annotations, videos)], seen)


def check_rows(rows: Rows, spec: ClipSpec, videos: Videos | None = None) -> list[Fault]:
    """Every fault of one file's rows; `videos` None leaves out what only the files can tell."""
    faults = [*check_coordinates(rows), *check_moments(rows), *check_labels(rows)]
    return faults if videos is None else [*faults, *check_times(rows, videos, spec)]


def without_faults(rows: Rows) -> Rows:
    """The rows that can be linked: boxes in the picture, one for each person and moment."""
    edges = rows.table[EDGES].to_numpy(np.float64)
    inside = np.nan_to_num(edges, nan=9.0).clip(0, 1)
    good = np.isfinite(edges).all(1) & (np.abs(edges - 0.5) <= 1.5).all(1) & (inside[:, 2:] > inside[:, :2]).all(1)
    table = rows.table[good]
    first = table.groupby(["video", "person", "start"], sort=False)[EDGES].transform("first")
    return replace(rows, table=table[(table[EDGES] == first).all(axis=1)])


def unannotated(annotations: Annotations, videos: Videos | None) -> list[Fault]:
    extra = sorted(set(videos.clips if videos else ()) - set(annotations.boxes["video"]))
    return [Fault("video without a box", f"{len(extra)} video files have no annotation", len(extra), extra)
            ] if extra else []


def check_coordinates(rows: Rows) -> list[Fault]:
    """Boxes outside the picture, in pixels, swapped or empty, and edges that are no numbers."""
    edges = rows.table[EDGES].to_numpy(np.float64)
    broken = ~np.isfinite(edges).all(1)
    pixels = ~broken & (edges > IN_PIXELS).any(1)
    swapped = ~broken & ((edges[:, 2:] <= edges[:, :2]).any(1))
    outside = ~broken & ~pixels & ((edges < 0) | (edges > 1)).any(1)
    said = {
        "not a number": (broken, "boxes have an edge that is no finite number"),
        "pixels": (pixels, f"boxes have an edge above {IN_PIXELS:g}: they are in pixels. Divide by the picture's size"),
        "swapped": (swapped, "boxes are swapped or empty: wanted x1 < x2 and y1 < y2, in the order x1, y1, x2, y2"),
        "outside": (outside, "boxes stick out of the picture: an edge is outside 0..1 (prepare clips them)"),
    }  # fmt: skip
    return [Fault(kind, f"{rows.source}: {(at := places(rows, wrong, edges))[0]} {what}", len(at[1]), at[1])
            for kind, (wrong, what) in said.items() if wrong.any()]


def places(rows: Rows, wrong: np.ndarray, edges: np.ndarray) -> tuple[int, list[str]]:
    """How many different boxes, and each with its line: a box is repeated on the row of each of its labels."""
    table = rows.table.loc[wrong, ["line", "video", "person", "start"]].copy()
    table["box"] = [tuple(box) for box in edges[wrong].tolist()]
    table = table.drop_duplicates(["video", "person", "start", "box"])
    named = [f"line {line}: {video}, person {person}, {start:g} s, box {', '.join(f'{edge:.6g}' for edge in box)}"
             for line, video, person, start, box in table.itertuples(index=False)]
    return len(named), named


def check_moments(rows: Rows) -> list[Fault]:
    """Persons with two boxes at one moment, and moments before 0."""
    boxes = rows.table[["video", "person", "start", *EDGES]].drop_duplicates()
    twice = boxes[boxes.duplicated(["video", "person", "start"])]
    faults = []
    if len(twice):
        named = [f"{video}, person {person}, {start:g} s" for video, person, start in
                 twice[["video", "person", "start"]].drop_duplicates().itertuples(index=False)]
        faults.append(Fault("two boxes", f"{rows.source}: {len(named)} times a person has two boxes at one moment",
                            len(named), named))
    return faults


def check_labels(rows: Rows) -> list[Fault]:
    """Ids that the label map does not have; told when all of them would be there one further up or down."""
    if not rows.names:
        return []
    counts = rows.table["label"].value_counts().sort_index()
    ids, known = {int(label) for label in counts.index}, set(rows.names)
    unknown = sorted(ids - known)
    if not unknown:
        return []
    shift = next((step for step in SHIFTS if {label + step for label in ids} <= known), None)
    if shift is not None:
        message = (f"{rows.source}: label ids are off by one: they run from {min(ids)} to {max(ids)}, the label map "
                   f"from {min(known)} to {max(known)}. {'Add 1 to' if shift > 0 else 'Take 1 from'} every id")
        return [Fault("label offset", message, int(counts.sum()), [f"id {label}" for label in unknown])]
    hint = ". The map has the challenge's 60 of AVA's 80 classes" if len(known) == 60 and max(ids) <= 80 else ""
    message = f"{rows.source}: {len(unknown)} label ids are not in the label map of {len(known)}{hint}"
    return [Fault("unknown label", message, int(counts[unknown].sum()),
                  [f"id {label} on {counts[label]} rows" for label in unknown])]


def check_times(rows: Rows, videos: Videos, spec: ClipSpec) -> list[Fault]:
    """Moments after the end of their video; videos without a file, and files that cannot be read."""
    named = sorted(set(rows.table["video"]))
    failed = {video: videos.failed[video] for video in named if video in videos.failed}
    missing = [video for video in named if video not in videos.clips and video not in failed]
    faults = []
    if missing:
        faults.append(Fault("missing video", f"{rows.source}: {len(missing)} of {len(named)} videos have no file",
                            len(missing), missing))
    if failed:
        faults.append(Fault("undecodable video", f"{rows.source}: {len(failed)} videos cannot be read", len(failed),
                            [f"{video}: {reason}" for video, reason in failed.items()]))
    seconds = rows.table["video"].map({video: spec.seconds_at(clips) for video, clips in videos.clips.items()})
    late = rows.table["start"] >= seconds  # False where the length is not known
    if late.any():
        faults.append(late_fault(rows, rows.table[late], seconds))
    return faults


def late_fault(rows: Rows, late: pd.DataFrame, seconds: pd.Series) -> Fault:
    moments = late.drop_duplicates(["video", "start"])
    named = [f"line {line}: {video} at {start:g} s, the file lasts {seconds[index]:.2f} s"
             for index, line, video, start in moments[["line", "video", "start"]].itertuples()]
    cut = (late["start"] - AVA_OFFSET).between(0, seconds[late.index]).all()
    hint = f". They would fit with --offset-seconds {AVA_OFFSET}: the videos were cut" if cut else ""
    return Fault("outside the video", f"{rows.source}: {len(named)} annotated moments lie after the end of their "
                                      f"video{hint}", len(named), named)


def check_pairs(annotations: Annotations, pairs: Sequence[Pair], protocol: str, unpaired: Collection[str],
                spec: ClipSpec) -> tuple[list[Fault], list[Fault]]:
    """Faults and notes of what pairs were made: actions without a pair, labels whose truth cannot be found again.

    unpaired: the combined labels that have tubelets and no pair. Only an action none of whose labels has a pair is a
    fault.
    """
    asked = {int(action) for pair in pairs for action in pair.label.split(",")}
    acted = {action for label in set(annotations.boxes["labels"]) for action in label}
    lost = [f"{action} {annotations.names.get(action, '')}".strip() for action in sorted(acted - asked)]
    faults, notes = [], []
    if lost:
        faults.append(Fault("no pair", f"{len(lost)} of {len(acted)} annotated actions are in no pair under the "
                                       f"{protocol} protocol", len(lost), lost))
    if unpaired:
        notes.append(Fault("label without a pair", f"{len(unpaired)} combined labels have no pair under the {protocol} "
                                                   "protocol: too few tubelets or videos", len(unpaired),
                           sorted(unpaired)))
    failing = failing_labels(pairs, annotations, spec)
    if failing:
        faults.append(Fault("oracle", f"the annotations, given as detections, do not score AP 1 for {len(failing)} "
                                      "labels", len(failing), list(failing.values())))
    silent = [f"{index} {name}" for index, name in annotations.names.items() if index not in acted]
    if silent:
        notes.append(Fault("nobody does it", f"{len(silent)} of {len(annotations.names)} actions of the label map are "
                                             "never annotated", len(silent), silent))
    return faults, notes
