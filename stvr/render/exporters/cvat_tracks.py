"""CVAT for video 1.1: a track for each tubelet, every frame a keyframe."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from stvr.annotations.cvat_file import CORNERS, known_label, read_cvat_file
from stvr.render.exporters.account import Account
from stvr.render.exporters.at_hand import Videos
from stvr.render.exporters.marked import Mark, found_in
from stvr.render.exporters.objects import number
from stvr.render.exporters.records import Found, instances
from stvr.render.exporters.tracks import frames_of
from stvr.video.frame_times import FrameTimes

SCORE = "score"


def export_cvat(found: Sequence[Found], name: str, times: FrameTimes) -> str:
    """The file of one video. Every frame is a keyframe, so that CVAT interpolates nothing."""
    root = ET.Element("annotations")
    add(root, "version", "1.1")
    seen = [frames_of(each, times) for each in found]
    task = ET.SubElement(ET.SubElement(root, "meta"), "task")
    add(task, "name", name)
    add(task, "size", str(max(int(frames[-1]) for frames, _ in seen) + 2))
    add(task, "mode", "interpolation")
    add(task, "start_frame", "0")
    labels = ET.SubElement(task, "labels")
    for label in dict.fromkeys(each.label for each in found):
        add_label(labels, label)
    size = ET.SubElement(task, "original_size")
    add(size, "width", str(found[0].width))
    add(size, "height", str(found[0].height))
    add(task, "source", found[0].reference)
    for instance, each, (frames, boxes) in zip(instances(found), found, seen, strict=True):
        track = ET.SubElement(root, "track", id=str(instance - 1), label=each.label, source="auto")
        last = int(frames[-1]) + 1
        for frame, box in [*zip(frames.tolist(), boxes.tolist(), strict=True), (last, boxes[-1].tolist())]:
            corners = {corner: f"{edge:.2f}" for corner, edge in zip(CORNERS, box, strict=True)}
            seen_here = {"keyframe": "1", "outside": str(int(frame == last)), "occluded": "0"}
            shape = ET.SubElement(track, "box", {"frame": str(frame), **seen_here, **corners, "z_order": "0"})
            add(shape, "attribute", repr(each.score)).set("name", SCORE)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def add_label(labels: ET.Element, label: str) -> None:
    one = ET.SubElement(labels, "label")
    add(one, "name", label)
    attribute = ET.SubElement(ET.SubElement(one, "attributes"), "attribute")
    for name, text in (("name", SCORE), ("mutable", "False"), ("input_type", "text"), ("default_value", "1"),
                       ("values", "1")):
        add(attribute, name, text)


def add(parent: ET.Element, tag: str, text: str) -> ET.Element:
    child = ET.SubElement(parent, tag)
    child.text = text
    return child


def import_cvat(path: Path, fps: float | None, videos: Videos, account: Account) -> list[Found]:
    """Every track, on straight lines between keyframes as in CVAT; score 1 where no attribute gives one."""
    file = read_cvat_file(path)
    for each in file.left_out:
        account.leave_out(each.what, each.why, each.first, each.count)
    marks = [Mark(frame, (box[0], box[1], box[2], box[3]), track.id, known_label(track.label),
                  number(values.get(SCORE) or 1, f"the score of track {track.id}"), f"track {track.id}, frame {frame}")
             for track in file.tracks
             for frame, box, values in zip(track.frames.tolist(), track.boxes.tolist(), track.attributes, strict=True)]
    return found_in(file.source, marks, file.size, fps, videos, account, path.name)
