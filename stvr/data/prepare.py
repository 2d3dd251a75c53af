"""From annotation files to a pairs file, one function a source."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from stvr.config import Options
from stvr.data.annotations import Annotations, merge
from stvr.data.ava import read_ava, read_excluded, read_label_map
from stvr.data.labelled import AnnotatedTubelet, Label, link_annotations, own_extents, trim
from stvr.data.pairs import Protocol, build_pairs, label_text, summary, write_pairs
from stvr.data.table import read_table
from stvr.data.ucf101_24 import CLASSES, read_ucf101_24
from stvr.structures import ClipSpec, Span

HeldOut = Mapping[str, Collection[Label]]  # "val" and "test" -> labels
AVA_SECONDS = (900, 1800)  # the part of every film that AVA annotates, and that the authors' references stay in
HELD_OUT_SHARE = 5 / 24  # of the labels for val, and as many for test (Feng et al. 2019 split UCF101-24 14 / 5 / 5)


class PairOptions(Options):
    """protocol, seed and absent_share as in build_pairs; fps and frames_per_clip say how the videos are cut.

    extent_seconds: which part of every video to use where its length is not known; None: from the first annotated
    second to the last, or (900, 1800) for AVA under the released protocol, as the authors' program does.
    """

    protocol: Protocol = "debiased"
    seed: int = Field(default=0, ge=0)
    absent_share: float = Field(default=0.2, ge=0, lt=1)
    extent_seconds: tuple[float, float] | None = None
    fps: int = Field(default=24, ge=1)
    frames_per_clip: int = Field(default=8, ge=1)

    @property
    def spec(self) -> ClipSpec:
        return ClipSpec(self.fps, self.frames_per_clip)


def prepare_ava(
    csvs: Sequence[Path],
    out: Path,
    *,
    train_csvs: Sequence[Path] = (),
    label_map: Path | None = None,
    excluded: Path | None = None,
    held_out: HeldOut | str | None = None,
    seconds_offset: int = 0,
    video_clips: Mapping[str, int] | None = None,
    options: PairOptions | None = None,
) -> dict[str, Any]:
    """AVA-format files -> OUT, a pairs file. Returns the summary of what was written.

    Args:
        csvs: videos for every split. train_csvs: videos that only train; with it, `csvs` only evaluate (as AVA's
            train and val files in the authors' program).
        held_out: labels by split, or a text for `parse_held_out`; None takes the authors' labels of AVA, 27 for val
            and 27 for test.
        seconds_offset: 900 where the videos were trimmed to AVA's fifteen minutes.
        video_clips: how many clips each video holds; videos that are not in it are left out. None: all are used.
    """
    names = read_label_map(label_map) if label_map else {}
    bad = read_excluded(excluded) if excluded else None
    if held_out is None:
        if names and names.get(12) != "stand":
            raise ValueError(f"{label_map} is not AVA's label map, so the authors' held-out labels do not apply. "
                             "Name the labels to hold out with --held-out, or give --held-out none.")
        held_out = released_labels()
    read = {path: read_ava(path, names=names, excluded=bad, seconds_offset=seconds_offset)
            for path in (*csvs, *train_csvs)}
    train_videos = {video for path in train_csvs for video in read[path].boxes["video"]} if train_csvs else None
    annotations, options = merge(list(read.values())), options or PairOptions()
    if options.protocol == "released" and options.extent_seconds is None:
        options = options.model_copy(update={"extent_seconds": _fifteen_minutes(annotations, seconds_offset)})
    return _prepare(annotations, list(read), out, held_out, train_videos, video_clips, options)


def prepare_ucf101_24(
    pickled: Path,
    out: Path,
    *,
    frame_rates: Mapping[str, float],
    held_out: HeldOut | str | None = None,
    video_clips: Mapping[str, int] | None = None,
    options: PairOptions | None = None,
) -> dict[str, Any]:
    """UCF101-24's pyannot.pkl -> OUT, for the videos in `frame_rates`.

    held_out: as in `prepare_ava`; None draws 5 classes for val and 5 for test by the seed when all 24 are there, and
    holds out none of fewer. Which 14 / 5 / 5 classes the paper took is nowhere given.
    """
    annotations, options = read_ucf101_24(pickled, frame_rates), options or PairOptions()
    if held_out is None:
        labels = set(annotations.boxes["labels"])
        held_out = draw_held_out(labels, options.seed) if len(labels) == len(CLASSES) else {}
    return _prepare(annotations, [pickled], out, held_out, None, video_clips, options)


def prepare_table(
    csv: Path,
    out: Path,
    *,
    sizes: Mapping[str, tuple[int, int]] | None = None,
    held_out: HeldOut | str | None = None,
    video_clips: Mapping[str, int] | None = None,
    options: PairOptions | None = None,
) -> dict[str, Any]:
    """A user's own table -> OUT. held_out: as in `prepare_ava`; None holds out nothing."""
    annotations = read_table(csv, sizes=sizes)
    return _prepare(annotations, [csv], out, held_out or {}, None, video_clips, options or PairOptions())


def released_labels() -> dict[str, set[Label]]:
    """The combined labels that the authors hold out of AVA: {"val": 27, "test": 27}."""
    lists = json.loads(Path(__file__).with_name("released_labels.json").read_text())
    return {split: {tuple(label) for label in lists[split]} for split in ("val", "test")}


def parse_held_out(text: str, names: Mapping[int, str] | None = None) -> dict[str, set[Label]]:
    """{"test": labels} of a text: labels with ; between them, or a file with one a line; "none" holds out none."""
    if text.strip() == "none":
        return {}
    is_file = ";" not in text and Path(text).is_file()
    return {"test": read_labels(Path(text), names) if is_file else parse_labels(text, names)}


def parse_labels(text: str, names: Mapping[int, str] | None = None) -> set[Label]:
    """Labels with ; between them, each as in `parse_label`."""
    return {parse_label(part, names) for part in text.split(";") if part.strip()}


def read_labels(path: Path, names: Mapping[int, str] | None = None) -> set[Label]:
    """One label a line, each as in `parse_label`."""
    labels = set()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            labels |= parse_labels(line, names)
        except ValueError as error:
            raise ValueError(f"{path.name}, line {number}: {error}") from None
    return labels


def parse_label(text: str, names: Mapping[int, str] | None = None) -> Label:
    """A name or id, or several with , or + between them for what one person does all at once: "12,79", "stand + walk".

    Raises ValueError for a name that nobody has.
    """
    ids = {name: index for index, name in (names or {}).items()}
    if text.strip() in ids:  # a name may hold a comma
        return (ids[text.strip()],)
    parts = [part.strip() for part in text.replace("+", ",").split(",")]
    for part in parts:
        if part not in ids and not part.isdecimal():
            known = f" The actions are: {_some(list(ids))}." if ids else " Give ids where there are no names."
            raise ValueError(f"no action is called {part!r}.{known}")
    return tuple(sorted({ids[part] if part in ids else int(part) for part in parts}))


def draw_held_out(labels: Collection[Label], seed: int) -> dict[str, set[Label]]:
    """Five of every 24 labels for val and as many for test, at least one each, drawn by the seed."""
    if len(labels) < 3:
        raise ValueError(f"{len(labels)} labels are too few to hold some out for val and test, wanted at least 3.")
    shuffled = [sorted(labels)[index] for index in np.random.default_rng(seed).permutation(len(labels))]
    count = max(1, round(HELD_OUT_SHARE * len(labels)))
    return {"val": set(shuffled[:count]), "test": set(shuffled[count : 2 * count])}


def _prepare(annotations: Annotations, files: Sequence[Path], out: Path, held_out: HeldOut | str,
             train_videos: Collection[str] | None, video_clips: Mapping[str, int] | None,
             options: PairOptions) -> dict[str, Any]:
    linked = link_annotations(annotations, options.spec)
    extents = _extents(annotations, linked, video_clips, options)
    tubelets = trim(linked, extents)
    if not tubelets:
        raise LookupError("no annotated moment lies in any of the videos. Check that the names of the video files "
                          "are those of the annotations, and the offset of the seconds.")
    labels, unseen = {tubelet.label for tubelet in tubelets}, set[Label]()
    if isinstance(held_out, str):
        held_out = parse_held_out(held_out, annotations.names)
        unseen = _unseen(held_out, labels)
    pairs = build_pairs(tubelets, extents, held_out=held_out, protocol=options.protocol, seed=options.seed,
                        absent_share=options.absent_share, train_videos=train_videos, spec=options.spec)
    if not pairs:
        raise ValueError(f"{len(tubelets)} tubelets of {len(labels)} labels make no pair: each label needs "
                         f"tubelets in two videos under the debiased protocol.")
    held = {split: sorted(set(some) & labels) for split, some in held_out.items()}
    write_pairs(out, pairs, {
        "clip": {"fps": options.fps, "frames_per_clip": options.frames_per_clip},
        "protocol": options.protocol,
        "seed": options.seed,
        "absent_share": options.absent_share if options.protocol == "debiased" else 0.0,
        "source": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
        "labels": {str(index): name for index, name in sorted(annotations.names.items())},
        "held_out": {split: [label_text(label) for label in some] for split, some in held.items()},
    })
    return {"tubelets": len(tubelets), "labels": len(labels), "clipped_boxes": annotations.num_clipped,
            "held_out": {split: [_named(label, annotations.names) for label in some] for split, some in held.items()},
            "unseen": [_named(label, annotations.names) for label in sorted(unseen)],
            "extent_seconds": options.extent_seconds if video_clips is None else None, "splits": summary(pairs)}


def _unseen(held_out: HeldOut, labels: set[Label]) -> set[Label]:
    """The labels to hold out that nobody does; LookupError when that is all of them."""
    wanted = {label for some in held_out.values() for label in some}
    if held_out and not wanted & labels:
        raise LookupError(f"nobody does any of the {len(wanted)} labels to hold out. The labels that occur are: "
                          f"{_some([label_text(label) for label in sorted(labels)], '; ')}.")
    return wanted - labels


def _fifteen_minutes(annotations: Annotations, seconds_offset: int) -> tuple[float, float] | None:
    """AVA's part of every film, where the annotated seconds lie in it; else None."""
    first, last = annotations.boxes["start"].min() + seconds_offset, annotations.boxes["stop"].max() + seconds_offset
    if not (AVA_SECONDS[0] <= first and last <= AVA_SECONDS[1]):
        return None
    return max(0.0, AVA_SECONDS[0] - seconds_offset), AVA_SECONDS[1] - seconds_offset


def _named(label: Label, names: Mapping[int, str]) -> str:
    return " + ".join(names.get(index, str(index)) for index in label)


def _some(words: Sequence[str], between: str = ", ", most: int = 10) -> str:
    return between.join(words[:most]) + (f"{between}... ({len(words)} in all)" if len(words) > most else "")


def _extents(annotations: Annotations, linked: Sequence[AnnotatedTubelet], video_clips: Mapping[str, int] | None,
             options: PairOptions) -> dict[str, Span]:
    """The clips of each video that a reference may show."""
    if video_clips is not None:
        return {video: Span(video, 0, count) for video, count in video_clips.items() if count > 0}
    extents = own_extents(linked)
    for video in extents:
        seconds = options.extent_seconds or annotations.extents.get(video)
        if seconds is not None:
            extents[video] = options.spec.span(video, *seconds)
    return extents
