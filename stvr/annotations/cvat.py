"""Read CVAT for video 1.1: tracks with keyframes in an XML file."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stvr.annotations.frame_counts import FrameOptions, FrameRates, frame_rows, named_as_given, rate_of
from stvr.annotations.reader import Reader
from stvr.annotations.rows import Rows, stack
from stvr.video_names import plain_name

CORNERS = ("xtl", "ytl", "xbr", "ybr")


class CvatOptions(FrameOptions):
    fps: float | None = Field(None, description="Frames a second of the videos, if there is no --videos.")
    attribute: str | None = Field(
        None, description="The attribute that names the action, if the label only says who does it."
    )


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One track: frames (T,) that show it, boxes (T, 4) xyxy in pixels, and its attributes' values in each frame."""

    id: str
    label: str
    frames: NDArray[np.int64]
    boxes: NDArray[np.float64]
    attributes: list[dict[str, str]]


@dataclass(frozen=True, slots=True, eq=False)
class CvatFile:
    """source: the video's file name; size: (width, height) in pixels; num_frames: where the task ends, if known."""

    source: str
    size: tuple[int, int]
    num_frames: int | None
    tracks: list[Track]


def read_cvat(path: Path, frame_rates: FrameRates, *, attribute: str | None = None) -> Rows:
    """Reads one task's tracks; a box stands while its frame is on screen. `line` is the frame.

    Label ids count the labels in sorted order from 1.

    Args:
        frame_rates: frames a second, which are not in CVAT's file: of all videos, or by video name.
        attribute: the attribute whose value is the action, where a track's label only says "person"; a comma or +
            between several. None: the track's label is the action.
    Raises: ValueError for a file that is not CVAT's, LookupError for a video whose rate is not known.
    """
    file = read_cvat_file(path)
    video = plain_name(file.source)
    rate = rate_of(video, frame_rates)
    if rate is None:
        raise LookupError(f"{path.name} annotates {file.source!r}, whose frame rate is not known. Give --videos with "
                          "that file in it, or --fps.")
    actions = [(track, actions_of(track, attribute)) for track in file.tracks]
    names = dict(enumerate(sorted({name for _, frames in actions for frame in frames for name in frame}), start=1))
    parts = []
    for track, frames in actions:
        for index, name in names.items():
            at = np.flatnonzero([name in frame for frame in frames])
            if len(at):
                parts.append(frame_rows(video, track.id, index, track.frames[at], track.boxes[at], rate, file.size))
    if not parts:
        raise ValueError(f"{path.name} holds no track{f' with the attribute {attribute!r}' if attribute else ''}. "
                         "Annotate in CVAT's track mode and export as `CVAT for video 1.1`.")
    extents = {} if file.num_frames is None else {video: (0.0, file.num_frames / rate)}
    rows = Rows(path.name, stack(parts), names, extents)
    return named_as_given(rows, frame_rates)


def actions_of(track: Track, attribute: str | None) -> list[tuple[str, ...]]:
    """The names of the actions in each of the track's frames."""
    if attribute is None:
        return [(track.label,)] * len(track.frames)
    texts = [values.get(attribute, "").replace("+", ",") for values in track.attributes]
    return [tuple(name.strip() for name in text.split(",") if name.strip()) for text in texts]


def read_cvat_file(path: Path) -> CvatFile:
    """Every track, with the boxes that CVAT draws between keyframes. ValueError, one line, for any other file."""
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
    """The tree. A document type is refused: it could declare entities that expand."""
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
        raise ValueError("<meta> has no <original_size>, so its pixels cannot be read as shares of the picture")
    width, height = (int(size.findtext(side) or 0) for side in ("width", "height"))
    if min(width, height) < 1:
        raise ValueError(f"<original_size> is {width} x {height}, wanted at least 1 x 1")
    source = root.findtext("meta/source") or task.findtext("source") or task.findtext("name") or path.stem
    step, first = frame_step(task), int(task.findtext("start_frame") or 0)
    count = int(task.findtext("size") or 0)
    stop = first + count * step if count else None
    tracks = [read_track(track, number, stop) for number, track in enumerate(root.iterfind("track"))]
    return CvatFile(source, (width, height), stop, [track for track in tracks if len(track.frames)])


def frame_step(task: ET.Element) -> int:
    """How many frames of the video lie between annotated frames: 5 for <frame_filter>step=5</frame_filter>."""
    text = (task.findtext("frame_filter") or "").replace(" ", "")
    return max(int(text.removeprefix("step=")), 1) if text.startswith("step=") else 1


def read_track(track: ET.Element, number: int, stop: int | None) -> Track:
    """The frames from keyframe to keyframe, boxes on a straight line; none after a keyframe that is outside."""
    name = track.get("id", str(number))
    keys = sorted((read_key(box, name) for box in track.iterfind("box")), key=lambda key: key.frame)
    seen = list(between(keys, stop))
    frames = np.array([frame for frame, _, _ in seen], np.int64)
    boxes = np.array([box for _, box, _ in seen], np.float64).reshape(-1, 4)
    return Track(name, track.get("label") or "", frames, boxes, carry_on(track, [values for *_, values in seen]))


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """A keyframe's box, as the file has it."""

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
        raise ValueError(f"track {track}, frame {frame}: the box is turned by {turned:g} degrees, wanted upright boxes")
    if frame < 0 or not np.isfinite(corners).all():
        raise ValueError(f"track {track}, frame {frame}: wanted a frame number of 0 or more, and finite corners")
    return Key(frame, corners, box.get("outside") == "1", attributes_of(box))


def between(keys: list[Key], stop: int | None) -> Iterator[tuple[int, NDArray[np.float64], dict[str, str]]]:
    """Every frame that shows the track; the last keyframe holds until the task ends."""
    for key, after in zip(keys, [*keys[1:], None], strict=True):
        if key.outside:
            continue
        end = after.frame if after else max(key.frame + 1, stop or 0)
        target = key.box if after is None or after.outside else after.box  # with no box to move to, it stays
        for frame in range(key.frame, end):
            yield frame, key.box + (target - key.box) * (frame - key.frame) / (end - key.frame), key.attributes


def carry_on(track: ET.Element, changes: list[dict[str, str]]) -> list[dict[str, str]]:
    """The attributes in each frame: those of the whole track, and those of a box until another box changes them."""
    whole = attributes_of(track)
    return list(accumulate(changes, lambda values, change: values | change, initial=whole))[1:]


def attributes_of(element: ET.Element) -> dict[str, str]:
    return {each.get("name") or "": (each.text or "").strip() for each in element.iterfind("attribute")}


def read(path: Path, options: CvatOptions) -> Rows:
    return read_cvat(path, options.rates(), attribute=options.attribute)


CVAT = Reader(
    read, options=CvatOptions, argument="xmls", argument_help="`CVAT for video 1.1`, one file a video.", several=True,
    help="Your own tracks, drawn in CVAT; give --videos or --fps for their frame rate. Without --held-out, nothing is "
         "held out.",
    recognises=lambda path, first_line: path.suffix.lower() == ".xml", numbers_labels=True,
)  # fmt: skip
