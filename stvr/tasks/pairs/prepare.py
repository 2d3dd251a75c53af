"""From annotation files to a pairs file: one function for every source on the readers' menu."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from stvr.annotations import READERS
from stvr.annotations.held_out import HeldOut, listed, parse_held_out
from stvr.annotations.labelled import AnnotatedTubelet, link_annotations, own_extents, trim
from stvr.annotations.reader import Reader, ReaderOptions
from stvr.annotations.rows import Annotations, Label, merge, with_shared_videos
from stvr.config import Options, fill
from stvr.labels import label_name, label_text
from stvr.structures import ClipSpec, Span
from stvr.tasks.pairs.audit import audit
from stvr.tasks.pairs.build import AUTHORS, Protocol, build_pairs, summary, write_pairs
from stvr.tasks.pairs.left_out import doubts, outside, without_pair
from stvr.video_names import ByVideo


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


def prepare(
    source: str,
    files: Sequence[Path],
    out: Path,
    given: Mapping[str, Any] | None = None,
    *,
    train_files: Sequence[Path] = (),
    held_out: HeldOut | str | None = None,
    video_clips: Mapping[str, int] | None = None,
    unreadable: Collection[str] = (),
    video_offsets: Mapping[str, float] | None = None,
    options: PairOptions | None = None,
) -> dict[str, Any]:
    """Annotation files -> OUT, a pairs file. Returns the summary of what was written.

    Args:
        source: the reader's name, as in READERS. given: the reader's options by name, such as {"labels": PATH}.
        train_files: files whose videos only train; with them, the videos of `files` only evaluate (as AVA's train and
            val files do in the authors' program).
        held_out: labels by split, or a text for `parse_held_out`; None: the reader's own rule.
        video_clips: how many clips each video holds; other videos are left out. None: all annotated videos are used.
        unreadable: videos whose files are there but cannot be read; left out too, for that reason.
        video_offsets: seconds of the first picture of each video, on the clock that the annotations use; 0 where none.
    Raises: LookupError for an unknown source, ValueError for an option that the reader does not have, for annotations
        that are wrong, and where no pair can be made.
    """
    reader, options = READERS[source], options or PairOptions()
    reader_options = fill(reader.options, flags=given)
    paths = list(dict.fromkeys([*files, *train_files]))
    known = ByVideo(dict.fromkeys([*(video_clips or ()), *unreadable]))
    rows = with_shared_videos(reader.rows(paths, reader_options), known)
    if not any(len(part.table) for part in rows):
        raise LookupError("; ".join(["no annotation is left", *(str(each) for part in rows for each in part.left_out)]))
    parts = [part.checked() for part in rows]
    train_videos = reader.train_videos(reader_options)
    if train_videos is not None:
        annotated = ByVideo({video: None for part in parts for video in part.boxes["video"].unique()})
        train_videos = {name for video in train_videos if (name := annotated.name(video)) is not None}
    if train_files:
        train_videos = {video for path, part in zip(paths, parts, strict=True) if path in train_files
                        for video in part.boxes["video"]}
    annotations = merge(parts).after_first_picture(video_offsets or {})
    options = with_extent(options, reader, annotations, reader_options)
    if held_out is None:
        held_out = reader.held_out(annotations, reader_options, options.seed)
    written = write(annotations, paths, out, held_out, train_videos, video_clips, options, unreadable)
    return {**written, "said": [line for part in rows for line in part.said]}


def with_extent(options: PairOptions, reader: Reader, annotations: Annotations,
                reader_options: ReaderOptions) -> PairOptions:
    """Under the authors' protocols, the part of every video that the source has for them."""
    if options.protocol not in AUTHORS or options.extent_seconds is not None:
        return options
    return options.model_copy(update={"extent_seconds": reader.extent_seconds(annotations, reader_options)})


def write(annotations: Annotations, files: Sequence[Path], out: Path, held_out: HeldOut | str,
          train_videos: Collection[str] | None, video_clips: Mapping[str, int] | None,
          options: PairOptions, unreadable: Collection[str] = ()) -> dict[str, Any]:
    """Links the annotations, builds pairs, writes them; returns the summary."""
    tubelets, extents = tubelets_within(annotations, video_clips, options)
    left_out = [*annotations.left_out, *outside(annotations, tubelets, extents, options.spec, unreadable)]
    if not tubelets:
        reasons = "".join(f": {each}" for each in left_out[:1])
        raise LookupError(f"no annotated moment lies in any of the videos{reasons}. Check that the names of the video "
                          "files are those in the annotations, and whether the seconds need an offset.")
    labels, unseen = {tubelet.label for tubelet in tubelets}, set[Label]()
    if isinstance(held_out, str):
        held_out = parse_held_out(held_out, annotations.names)
        unseen = unseen_labels(held_out, labels)
    pairs = build_pairs(tubelets, extents, held_out=held_out, protocol=options.protocol, seed=options.seed,
                        absent_share=options.absent_share, train_videos=train_videos, spec=options.spec)
    if not pairs:
        more = "".join(f" {line}." for line in [*doubts(annotations), *map(str, left_out)])
        raise ValueError(f"{len(tubelets)} tubelets of {len(labels)} labels make no pair: under the {options.protocol} "
                         f"protocol a label needs tubelets in two videos.{more}")
    left_out += without_pair(tubelets, pairs, annotations.names)
    held = {split: sorted(set(some) & labels) for split, some in held_out.items()}
    write_pairs(out, pairs, header(annotations, files, held, options))
    return {"tubelets": len(tubelets), "labels": len(labels), "clipped_boxes": annotations.num_clipped,
            "held_out": {split: [label_name(label, annotations.names) for label in some]
                         for split, some in held.items()},
            "unseen": [label_name(label, annotations.names) for label in sorted(unseen)],
            "left_out": [str(each) for each in left_out], "doubts": doubts(annotations),
            "missing_videos": sorted({video for each in left_out for video in each.videos}),
            "extent_seconds": options.extent_seconds if video_clips is None else None, "splits": summary(pairs),
            "audit": audit(pairs, options.spec)}


def tubelets_within(annotations: Annotations, video_clips: Mapping[str, int] | None,
                    options: PairOptions) -> tuple[list[AnnotatedTubelet], dict[str, Span]]:
    """The tubelets as far as they lie within their videos' extents, and the extents."""
    linked = link_annotations(annotations, options.spec)
    extents = extents_of(annotations, linked, video_clips, options)
    return trim(linked, extents), extents


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


def header(annotations: Annotations, files: Sequence[Path], held_out: Mapping[str, Sequence[Label]],
           options: PairOptions) -> dict[str, Any]:
    """What a pairs file says of how it was made."""
    return {
        "clip": {"fps": options.fps, "frames_per_clip": options.frames_per_clip},
        "protocol": options.protocol,
        "seed": options.seed,
        "absent_share": 0.0 if options.protocol in AUTHORS else options.absent_share,
        "source": {path.name: digest(path) for path in files},
        "labels": {str(index): name for index, name in sorted(annotations.names.items())},
        "held_out": {split: [label_text(label) for label in labels] for split, labels in held_out.items()},
    }


def digest(path: Path) -> str:
    """sha256 of a file, or of all files of a folder with their names."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    files = [file for file in sorted(path.rglob("*")) if file.is_file()]
    parts = [f"{file.relative_to(path).as_posix()} {digest(file)}" for file in files]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def unseen_labels(held_out: HeldOut, labels: set[Label]) -> set[Label]:
    """The labels to hold out that nobody does; LookupError when that is all of them."""
    wanted = {label for some in held_out.values() for label in some}
    if held_out and not wanted & labels:
        raise LookupError(f"nobody does any of the {len(wanted)} labels to hold out. The labels that occur are: "
                          f"{listed([label_text(label) for label in sorted(labels)], '; ')}.")
    return wanted - labels
