"""From annotation files to a pairs file, one function a source."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from stvr.annotations.ava import read_ava, read_excluded, read_label_map
from stvr.annotations.cvat import cvat_rows
from stvr.annotations.held_out import HeldOut, draw_held_out, listed, parse_held_out, released_labels
from stvr.annotations.jhmdb import read_jhmdb, read_splits
from stvr.annotations.labelled import AnnotatedTubelet, Label, link_annotations, own_extents, trim
from stvr.annotations.multisports import read_multisports
from stvr.annotations.rows import Annotations, merge, with_shared_names
from stvr.annotations.table import read_table
from stvr.annotations.ucf101_24 import CLASSES, read_ucf101_24
from stvr.config import Options
from stvr.structures import ClipSpec, Span
from stvr.tasks.pairs.audit import audit
from stvr.tasks.pairs.build import Protocol, build_pairs, label_text, summary, write_pairs

NUM_CLASSES = {"ucf101-24": len(CLASSES), "jhmdb": 21, "multisports": 60}  # of the whole set: fewer hold out none
AVA_SECONDS = (900, 1800)  # the part of every film that AVA annotates, and that the authors' references stay in


class PairOptions(Options):
    """protocol, seed and absent_share as in build_pairs; fps and frames_per_clip say how the videos are cut.

    extent_seconds: which part of every video to use where its length is not known; None: from the first annotated
    second to the last, or (900, 1800) for AVA under the authors' protocols, as their program does.
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
    if options.protocol != "debiased" and options.extent_seconds is None:
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
    held_out = _drawn("ucf101-24", annotations, options) if held_out is None else held_out
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


def prepare_multisports(
    files: Sequence[Path],
    out: Path,
    *,
    train_files: Sequence[Path] = (),
    label_map: Path | None = None,
    frame_rates: Mapping[str, float] | None = None,
    held_out: HeldOut | str | None = None,
    video_clips: Mapping[str, int] | None = None,
    options: PairOptions | None = None,
) -> dict[str, Any]:
    """MultiSports' CSV or JSON -> OUT. train_files: their videos only train, while those of `files` only evaluate.

    frame_rates: of the videos to keep; None keeps all, at 25 a second. held_out: as in `prepare_ucf101_24`, of the 60
    actions that are evaluated.
    """
    names = read_label_map(label_map) if label_map else None
    rates = {} if frame_rates is None else {"frame_rates": frame_rates}
    read = {path: read_multisports(path, names=names, **rates) for path in (*files, *train_files)}
    train_videos = {video for path in train_files for video in read[path].boxes["video"]} if train_files else None
    annotations, options = merge(list(read.values())), options or PairOptions()
    held_out = _drawn("multisports", annotations, options) if held_out is None else held_out
    return _prepare(annotations, list(read), out, held_out, train_videos, video_clips, options)


def prepare_jhmdb(
    masks: Path,
    out: Path,
    *,
    frame_rates: Mapping[str, float],
    splits: Path | None = None,
    split_number: int = 1,
    held_out: HeldOut | str | None = None,
    video_clips: Mapping[str, int] | None = None,
    options: PairOptions | None = None,
) -> dict[str, Any]:
    """JHMDB's puppet masks -> OUT, for the videos in `frame_rates`.

    splits: the folder of the lists; videos that one of the three splits trains on only train, its others only evaluate.
    held_out: as in `prepare_ucf101_24`, of the 21 classes.
    """
    chosen = read_splits(splits, split_number) if splits else None
    rates = {video: rate for video, rate in frame_rates.items() if chosen is None or video in chosen}
    annotations, options = read_jhmdb(masks, rates), options or PairOptions()
    train_videos = None if chosen is None else {video for video, part in chosen.items() if part == "train"}
    held_out = _drawn("jhmdb", annotations, options) if held_out is None else held_out
    return _prepare(annotations, [masks], out, held_out, train_videos, video_clips, options)


def prepare_cvat(
    xmls: Sequence[Path],
    out: Path,
    *,
    frame_rates: Mapping[str, float] | float,
    attribute: str | None = None,
    held_out: HeldOut | str | None = None,
    video_clips: Mapping[str, int] | None = None,
    options: PairOptions | None = None,
) -> dict[str, Any]:
    """CVAT for video 1.1, a file a video -> OUT. held_out: as in `prepare_ava`; None holds out nothing."""
    annotations = merge([part.checked() for part in with_shared_names(
        [cvat_rows(path, frame_rates, attribute=attribute) for path in xmls])])
    return _prepare(annotations, xmls, out, held_out or {}, None, video_clips, options or PairOptions())


def _drawn(source: str, annotations: Annotations, options: PairOptions) -> HeldOut:
    """Labels drawn by the seed where the set is whole, else none."""
    labels = set(annotations.boxes["labels"])
    return draw_held_out(labels, options.seed) if len(labels) >= NUM_CLASSES[source] else {}


def _prepare(annotations: Annotations, files: Sequence[Path], out: Path, held_out: HeldOut | str,
             train_videos: Collection[str] | None, video_clips: Mapping[str, int] | None,
             options: PairOptions) -> dict[str, Any]:
    linked = link_annotations(annotations, options.spec)
    extents = extents_of(annotations, linked, video_clips, options)
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
        "source": {path.name: _digest(path) for path in files},
        "labels": {str(index): name for index, name in sorted(annotations.names.items())},
        "held_out": {split: [label_text(label) for label in some] for split, some in held.items()},
    })
    return {"tubelets": len(tubelets), "labels": len(labels), "clipped_boxes": annotations.num_clipped,
            "held_out": {split: [_named(label, annotations.names) for label in some] for split, some in held.items()},
            "unseen": [_named(label, annotations.names) for label in sorted(unseen)],
            "extent_seconds": options.extent_seconds if video_clips is None else None, "splits": summary(pairs),
            "audit": audit(pairs, options.spec)}


def _digest(path: Path) -> str:
    """sha256 of a file, or of all files of a folder with their names."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    files = [file for file in sorted(path.rglob("*")) if file.is_file()]
    parts = [f"{file.relative_to(path).as_posix()} {_digest(file)}" for file in files]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _unseen(held_out: HeldOut, labels: set[Label]) -> set[Label]:
    """The labels to hold out that nobody does; LookupError when that is all of them."""
    wanted = {label for some in held_out.values() for label in some}
    if held_out and not wanted & labels:
        raise LookupError(f"nobody does any of the {len(wanted)} labels to hold out. The labels that occur are: "
                          f"{listed([label_text(label) for label in sorted(labels)], '; ')}.")
    return wanted - labels


def _fifteen_minutes(annotations: Annotations, seconds_offset: int) -> tuple[float, float] | None:
    """AVA's part of every film, where the annotated seconds lie in it; else None."""
    first, last = annotations.boxes["start"].min() + seconds_offset, annotations.boxes["stop"].max() + seconds_offset
    if not (AVA_SECONDS[0] <= first and last <= AVA_SECONDS[1]):
        return None
    return max(0.0, AVA_SECONDS[0] - seconds_offset), AVA_SECONDS[1] - seconds_offset


def _named(label: Label, names: Mapping[int, str]) -> str:
    return " + ".join(names.get(index, str(index)) for index in label)


def extents_of(annotations: Annotations, linked: Sequence[AnnotatedTubelet], video_clips: Mapping[str, int] | None,
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
