"""Read CVAT for video 1.1: tracks with keyframes in an XML file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stvr.annotations.cvat_file import UNDEFINED, CvatFile, Track, known_label, read_cvat_file
from stvr.annotations.frame_counts import (
    NO_FILE,
    FrameOptions,
    FrameRates,
    Rate,
    frame_rows,
    named_as_given,
    rate_of,
    seconds_at,
)
from stvr.annotations.reader import Reader
from stvr.annotations.rows import LeftOut, Rows, stack
from stvr.video_names import plain_name

Actions = tuple[str, ...]


class CvatOptions(FrameOptions):
    fps: float | None = Field(None, description="Frames a second of the videos, if there is no --videos.")
    attribute: str | None = Field(
        None, description="The attribute that names the action, if the label only says who does it."
    )


def read_cvat(path: Path, frame_rates: FrameRates, *, attribute: str | None = None) -> Rows:
    """Reads one task's tracks; a box stands while its frame is on screen. `line` is the frame.

    Label ids count the labels in sorted order from 1. A track or frame without an action, and a box outside the
    picture, is left out and counted.

    Args:
        frame_rates: which are not in CVAT's file: of all videos, or by video name.
        attribute: the attribute whose value is the action, where a track's label only says "person"; a comma or +
            between several, and a checkbox is the action of its name. None: the track's label is the action.
    Raises: ValueError for a file that is not CVAT's, LookupError for a video whose rate is not known.
    """
    file = read_cvat_file(path)
    rate = rate_of(plain_name(file.source), frame_rates)
    if rate is None:
        raise LookupError(f"{path.name} annotates {file.source!r}, whose frame rate is not known. Give --videos with "
                          "that file in it, or --fps.")
    return named_as_given(rows_of(file, path.name, rate, attribute), frame_rates)


def rows_of(file: CvatFile, source: str, rate: Rate, attribute: str | None) -> Rows:
    video = plain_name(file.source)
    if not file.tracks and not file.left_out:
        raise ValueError(f"{source} holds no track. Annotate in CVAT's track mode and export as `CVAT for video 1.1`.")
    known = {name for track in file.tracks for values in track.attributes for name in values}
    if attribute and file.tracks and attribute not in known:
        raise ValueError(f"{source} holds no track with the attribute {attribute!r}; there are: "
                         f"{', '.join(sorted(known)) or 'none'}.")
    tracks, left_out = with_actions(file, source, attribute)
    names = dict(enumerate(sorted({name for _, frames in tracks for frame in frames for name in frame}), start=1))
    parts = [frame_rows(video, "", 0, [], [], rate)]
    for track, frames in tracks:
        for index, name in names.items():
            at = np.flatnonzero([name in frame for frame in frames])
            if len(at):
                parts.append(frame_rows(video, track.id, index, track.frames[at], track.boxes[at], rate, file.size))
    if len(parts) == 1:
        left_out.append(LeftOut(1, "videos", "no box with an action is left", f"{file.source} in {source}", [video]))
    extents = {} if file.num_frames is None else {video: (0.0, float(seconds_at(file.num_frames, rate)))}
    return Rows(source, stack(parts[1:] or parts), names, extents, left_out)


def with_actions(file: CvatFile, source: str, attribute: str | None,
                 ) -> tuple[list[tuple[Track, list[Actions]]], list[LeftOut]]:
    """Each track as far as it shows something of the picture, and the actions in each of its frames; what is not."""
    found, away, idle = [], [], []
    for whole in file.tracks:
        there = [index for index, box in enumerate(whole.boxes) if meets(box, file.size)]
        away += [f"track {whole.id}, frame {frame}" for frame in np.delete(whole.frames, there)]
        track = whole.part(there)
        actions = actions_of(track, attribute)
        idle += [f"track {track.id}, frame {frame}" for frame, done in zip(track.frames, actions, strict=True)
                 if not done]
        found.append((track, actions))
    counted = [(away, "they lie outside the picture"), (idle, f"their action is empty or {UNDEFINED}")]
    return found, [*file.left_out, *(LeftOut(len(places), "boxes", why, f"{source}, {places[0]}")
                                     for places, why in counted if places)]


def meets(box: NDArray[np.float64], size: tuple[int, int]) -> bool:
    """Whether a box shows something of the picture; one that is no box at all does, and is refused later."""
    left, top, right, bottom = box
    return not (right > left and bottom > top) or bool(right > 0 and bottom > 0 and left < size[0] and top < size[1])


def actions_of(track: Track, attribute: str | None) -> list[Actions]:
    """The names of the actions in each of the track's frames."""
    if attribute is None:
        label = known_label(track.label)
        return [(label,) if label else ()] * len(track.frames)
    texts = [values.get(attribute, "") for values in track.attributes]
    if texts and all(text.lower() in ("true", "false", "") for text in texts):
        return [(attribute,) if text.lower() == "true" else () for text in texts]
    names = [[known_label(name) for name in text.replace("+", ",").split(",")] for text in texts]
    return [tuple(name for name in some if name) for some in names]


def read(path: Path, options: CvatOptions) -> Rows:
    """As `read_cvat`; a file whose video is not among those to keep is left out."""
    file, rates = read_cvat_file(path), options.rates()
    rate = rate_of(plain_name(file.source), rates)
    if rate is None:
        gone = LeftOut(1, "videos", NO_FILE, f"{file.source} in {path.name}", [plain_name(file.source)])
        return Rows(path.name, frame_rows("", "", 0, [], [], 1.0), left_out=[gone])
    return named_as_given(rows_of(file, path.name, rate, options.attribute), rates)


CVAT = Reader(
    read, options=CvatOptions, argument="xmls", argument_help="`CVAT for video 1.1`, one file a video.", several=True,
    help="Your own tracks, drawn in CVAT; give --videos or --fps for their frame rate. Without --held-out, nothing is "
         "held out.",
    recognises=lambda path, first_line: path.suffix.lower() == ".xml", numbers_labels=True,
    numbers_people=True,
)  # fmt: skip
