"""Read CVAT for video 1.1: tracks with keyframes in an XML file."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stvr.annotations.frame_counts import frame_rows, rate_of, video_name
from stvr.annotations.rows import Annotations, Rows

CORNERS = ("xtl", "ytl", "xbr", "ybr")


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One track: frames (T,) it is seen in, boxes (T, 4) xyxy in pixels, and its attributes' values in each frame."""

    id: str
    label: str
    frames: NDArray[np.int64]
    boxes: NDArray[np.float64]
    attributes: list[dict[str, str]]


@dataclass(frozen=True, slots=True, eq=False)
class CvatFile:
    """source: the video's file name; size: its pixels; num_frames: where the task stops; None: it does not say."""

    source: str
    size: tuple[int, int]
    num_frames: int | None
    tracks: list[Track]


def read_cvat(path: Path, frame_rates: Mapping[str, float] | float, *, attribute: str | None = None) -> Annotations:
    """Reads one task's tracks; a box stands while its frame is on screen.

    Label ids count the labels in sorted order from 1.

    Args:
        frame_rates: frames a second, which CVAT's file does not say: of all videos, or by video name.
        attribute: the attribute whose value is the action, where a track's label only says "person"; a comma or +
            between several. None: the track's label is the action.
    Raises: ValueError for what is not CVAT's, LookupError for a video whose rate is not known.
    """
    return cvat_rows(path, frame_rates, attribute=attribute).checked()


def cvat_rows(path: Path, frame_rates: Mapping[str, float] | float, *, attribute: str | None = None) -> Rows:
    """The rows of `read_cvat` as they stand; `line` is the frame."""
    file = read_cvat_file(path)
    video = video_name(file.source)
    rate = rate_of(video, frame_rates)
    if rate is None:
        raise LookupError(f"{path.name} annotates {file.source!r}, whose frame rate is not known. Give --videos with "
                          "that file in it, or --fps.")
    named = [(track, words) for track in file.tracks if (words := actions_of(track, attribute))]
    names = dict(enumerate(sorted({word for _, words in named for words_now in words for word in words_now}), start=1))
    ids = {name: index for index, name in names.items()}
    parts = []
    for track, words in named:
        for word in sorted({word for words_now in words for word in words_now}):
            does = np.array([word in words_now for words_now in words])
            parts.append(frame_rows(video, track.id, ids[word], track.frames[does], track.boxes[does], rate, file.size))
    if not parts:
        raise ValueError(f"{path.name} holds no track{f' with the attribute {attribute!r}' if attribute else ''}. "
                         "Annotate in CVAT's track mode and export as `CVAT for video 1.1`.")
    extents = {} if file.num_frames is None else {video: (0.0, file.num_frames / rate)}
    return Rows(path.name, pd.concat(parts, ignore_index=True), names, extents)


def actions_of(track: Track, attribute: str | None) -> list[tuple[str, ...]]:
    """What the track's person does in each of its frames; empty where nobody says."""
    if attribute is None:
        return [(track.label,)] * len(track.frames)
    words = [values.get(attribute, "").replace("+", ",").split(",") for values in track.attributes]
    said = [tuple(word.strip() for word in now if word.strip()) for now in words]
    return said if any(said) else []


def read_cvat_file(path: Path) -> CvatFile:
    """Every track, with the boxes between keyframes as CVAT puts them. ValueError, one line, for anything else."""
    try:
        root = parse(path)
        if root.tag != "annotations" or root.find("meta") is None:
            raise ValueError("wanted <annotations> with <meta>")
        if root.find("image") is not None:
            raise ValueError("it is `CVAT for images`: export the task as `CVAT for video 1.1`")
        tasks = [*root.iterfind("meta/task"), *root.iterfind("meta/job")]
        if len(tasks) != 1:
            raise ValueError(f"it holds {len(tasks)} tasks: export each task by itself")
        return read_task(root, tasks[0], path)
    except (ET.ParseError, expat.ExpatError) as error:
        raise ValueError(f"{path.name} is not XML: {error}") from None
    except ValueError as error:
        raise ValueError(f"{path.name} is not a `CVAT for video 1.1` file: {error}.") from None


def parse(path: Path) -> ET.Element:
    """The tree; a document type is refused, so that no entity can be declared and none expands."""
    def refuse(*_: object) -> NoReturn:
        raise ValueError("it declares a document type, which could expand without end")

    scout = expat.ParserCreate()
    scout.StartDoctypeDeclHandler = refuse
    with path.open("rb") as file:
        scout.ParseFile(file)
    return ET.parse(path).getroot()


def read_task(root: ET.Element, task: ET.Element, path: Path) -> CvatFile:
    size = root.find("meta/original_size")
    size = task.find("original_size") if size is None else size
    if size is None:
        raise ValueError("<meta> has no <original_size>, so its pixels say nothing")
    width, height = (int(size.findtext(side) or 0) for side in ("width", "height"))
    if min(width, height) < 1:
        raise ValueError(f"<original_size> is {width} x {height}")
    source = root.findtext("meta/source") or task.findtext("source") or task.findtext("name") or path.stem
    step, first = frame_step(task), int(task.findtext("start_frame") or 0)
    count = int(task.findtext("size") or 0)
    stop = first + count * step if count else None
    tracks = [read_track(track, number, stop) for number, track in enumerate(root.iterfind("track"))]
    return CvatFile(source, (width, height), stop, [track for track in tracks if len(track.frames)])


def frame_step(task: ET.Element) -> int:
    """Frames of the video from one annotated frame to the next: <frame_filter>step=5</frame_filter>."""
    text = (task.findtext("frame_filter") or "").replace(" ", "")
    return max(int(text.removeprefix("step=")), 1) if text.startswith("step=") else 1


def read_track(track: ET.Element, number: int, stop: int | None) -> Track:
    """Frames between two keyframes, in a straight line; after a keyframe that is outside, nothing."""
    name = track.get("id", str(number))
    keys = sorted((read_key(box, name) for box in track.iterfind("box")), key=lambda key: key.frame)
    seen = list(between(keys, stop))
    frames = np.array([frame for frame, _, _ in seen], np.int64)
    boxes = np.array([box for _, box, _ in seen], np.float64).reshape(-1, 4)
    return Track(name, track.get("label") or "", frames, boxes, carried(track, [values for *_, values in seen]))


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """A box as it stands in the file."""

    frame: int
    box: NDArray[np.float64]
    outside: bool
    attributes: dict[str, str]


def read_key(box: ET.Element, track: str) -> Key:
    try:
        corners = np.array([float(box.attrib[corner]) for corner in CORNERS])
        frame, turned = int(box.attrib["frame"]), float(box.get("rotation", "0"))
    except (KeyError, ValueError) as error:
        raise ValueError(f"track {track}: a box without frame and {', '.join(CORNERS)} as numbers ({error})") from None
    if turned % 360:
        raise ValueError(f"track {track}, frame {frame}: the box is turned by {turned:g} degrees, wanted upright ones")
    if frame < 0 or not np.isfinite(corners).all():
        raise ValueError(f"track {track}, frame {frame}: wanted a frame from 0 on and finite corners")
    values = {each.get("name") or "": (each.text or "").strip() for each in box.iterfind("attribute")}
    return Key(frame, corners, box.get("outside") == "1", values)


def between(keys: list[Key], stop: int | None) -> Iterator[tuple[int, NDArray[np.float64], dict[str, str]]]:
    """Every frame in which the track is seen; the last keyframe holds until the task stops."""
    for key, after in zip(keys, [*keys[1:], None], strict=True):
        if key.outside:
            continue
        end = after.frame if after else max(key.frame + 1, stop or 0)
        towards = key.box if after is None or after.outside else after.box  # nothing to go to: it holds
        for frame in range(key.frame, end):
            yield frame, key.box + (towards - key.box) * (frame - key.frame) / (end - key.frame), key.attributes


def carried(track: ET.Element, values: list[dict[str, str]]) -> list[dict[str, str]]:
    """Attributes of the whole track, and those of a box until another box says otherwise."""
    now = {each.get("name") or "": (each.text or "").strip() for each in track.iterfind("attribute")}
    said = []
    for each in values:
        now = now | each
        said.append(now)
    return said
