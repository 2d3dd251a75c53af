"""What a file of CVAT for video 1.1 holds: the boxes of its tracks in every frame, keyframes and those between."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from stvr.annotations.rows import LeftOut

CORNERS = ("xtl", "ytl", "xbr", "ybr")
UNDEFINED = "__undefined__"  # CVAT's value of a choice that nobody made
TRUE, FALSE = ("1", "true", "yes"), ("0", "false", "no", "")
LARGEST = 10**7  # frames of a video: more than four days at 25 a second
UPRIGHT = 0.5  # degrees: a box turned by less is upright, as 359.99 is


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One track: frames (T,) that show it, boxes (T, 4) xyxy in pixels, and its attributes' values in each frame."""

    id: str
    label: str
    frames: NDArray[np.int64]
    boxes: NDArray[np.float64]
    attributes: list[dict[str, str]]

    def part(self, places: Sequence[int]) -> Track:
        """Only some of its frames."""
        chosen = np.array(places, np.int64)
        return Track(self.id, self.label, self.frames[chosen], self.boxes[chosen],
                     [self.attributes[place] for place in places])


@dataclass(frozen=True, slots=True, eq=False)
class CvatFile:
    """source: the video's file name; size: (width, height) in pixels; num_frames: where the task ends, if known.

    left_out: tracks that are no boxes, are empty or never seen, and tags of whole frames.
    """

    source: str
    size: tuple[int, int]
    num_frames: int | None
    tracks: list[Track]
    left_out: list[LeftOut]


def known_label(text: str) -> str:
    """The name of an action; "" for what stands for none."""
    return "" if text.strip() == UNDEFINED else text.strip()


def read_cvat_file(path: Path) -> CvatFile:
    """Every track, with the boxes that CVAT draws between keyframes. ValueError, one line, for any other file."""
    try:
        root = parse(path)
        if root.tag != "annotations" or root.find("meta") is None:
            raise ValueError("wanted <annotations> with <meta>")
        if root.find("image") is not None:
            raise ValueError("it is `CVAT for images`: export the task as `CVAT for video 1.1`")
        tasks = [each for place in ("task", "job", "project/tasks/task") for each in root.iterfind(f"meta/{place}")]
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
    width, height = (whole_number(size, side) for side in ("width", "height"))
    if min(width, height) < 1:
        raise ValueError(f"<original_size> is {width} x {height}, wanted at least 1 x 1")
    source = root.findtext("meta/source") or task.findtext("source") or task.findtext("name") or path.stem
    step, first = frame_step(task), whole_number(task, "start_frame")
    count = whole_number(task, "size")
    stop = min(first + count * step, LARGEST) if count else None
    elements = list(root.iterfind("track"))
    tracks = [read_track(track, number, stop) for number, track in enumerate(elements)]
    return CvatFile(source, (width, height), stop, [track for track in tracks if len(track.frames)],
                    list(without_boxes(root, elements, tracks, path.name)))


def without_boxes(root: ET.Element, elements: Sequence[ET.Element], tracks: Sequence[Track], source: str,
                  ) -> Iterator[LeftOut]:
    """What is no track of boxes, counted by why."""
    first: dict[str, str] = {}
    kinds: Counter[str] = Counter()
    for element, track in zip(elements, tracks, strict=True):
        if not len(track.frames):
            shapes = sorted({child.tag for child in element} - {"attribute"})
            why = ("they have no shape" if not shapes else "they are never in the picture" if "box" in shapes
                   else f"they are no boxes but of the shape {' and '.join(shapes)}")
            kinds[why] += 1
            first.setdefault(why, f"{source}, track {track.id}")
    yield from (LeftOut(count, "tracks", why, first[why]) for why, count in kinds.items())
    if tags := root.findall("tag"):
        yield LeftOut(len(tags), "tags", "they are of whole frames", f"{source}, frame {tags[0].get('frame')}")


def whole_number(parent: ET.Element, tag: str) -> int:
    """What an element inside says; 0 where it is not there or empty."""
    text = (parent.findtext(tag) or "0").strip()
    if not text.isdecimal() or int(text) > LARGEST:
        raise ValueError(f"<{tag}> is {text!r}, wanted a whole number up to {LARGEST}")
    return int(text)


def frame_step(task: ET.Element) -> int:
    """How many frames of the video lie between annotated frames: 5 for <frame_filter>step=5</frame_filter>."""
    text = (task.findtext("frame_filter") or "").replace(" ", "")
    if not text.startswith("step="):
        return 1
    step = text.removeprefix("step=")
    if not step.isdecimal() or int(step) > LARGEST:
        raise ValueError(f"<frame_filter> is {text!r}, wanted step= and a whole number")
    return max(int(step), 1)


def read_track(track: ET.Element, number: int, stop: int | None) -> Track:
    """The frames from keyframe to keyframe, boxes on a straight line; none after a keyframe that is outside."""
    name = track.get("id", str(number))
    keys = sorted((read_key(box, name) for box in track.iterfind("box")), key=lambda key: key.frame)
    for key, after in pairwise(keys):
        if key.frame == after.frame and not (key.outside or after.outside) and (key.box != after.box).any():
            raise ValueError(f"track {name}, frame {key.frame}: it has two boxes in this frame, wanted one")
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
    if not abs((turned + 180) % 360 - 180) < UPRIGHT:
        raise ValueError(f"track {track}, frame {frame}: the box is turned by {turned:g} degrees, wanted upright boxes")
    if not 0 <= frame <= LARGEST or not np.isfinite(corners).all():
        raise ValueError(f"track {track}, frame {frame}: wanted a frame number of 0 to {LARGEST}, and finite corners")
    outside = box.get("outside", "").strip().lower()
    if outside not in (*TRUE, *FALSE):
        raise ValueError(f"track {track}, frame {frame}: outside is {outside!r}, wanted 0 or 1")
    return Key(frame, corners, outside in TRUE, attributes_of(box))


def between(keys: list[Key], stop: int | None) -> Iterator[tuple[int, NDArray[np.float64], dict[str, str]]]:
    """Every frame that shows the track; the last keyframe holds until the task ends."""
    for place, key in enumerate(keys):
        after = keys[place + 1] if place + 1 < len(keys) else None
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
