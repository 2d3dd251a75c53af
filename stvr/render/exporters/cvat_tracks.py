"""CVAT for video 1.1: a track for each tubelet, every frame a keyframe."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from stvr.annotations.cvat import CORNERS, read_cvat_file
from stvr.render.exporters.records import Found
from stvr.render.exporters.tracks import found_of, frames_of, known_rate, score_of

SCORE = "score"


def export_cvat(found: Sequence[Found], label: str, fps: float) -> str:
    """The file of one video. Every frame is a keyframe, so that CVAT interpolates nothing."""
    root = ET.Element("annotations")
    add(root, "version", "1.1")
    seen = [frames_of(each, fps) for each in found]
    task = ET.SubElement(ET.SubElement(root, "meta"), "task")
    add(task, "name", Path(found[0].reference).stem)
    add(task, "size", str(max(int(frames[-1]) for frames, _ in seen) + 2))
    add(task, "mode", "interpolation")
    add(task, "start_frame", "0")
    one = ET.SubElement(ET.SubElement(task, "labels"), "label")
    add(one, "name", label)
    attribute = ET.SubElement(ET.SubElement(one, "attributes"), "attribute")
    for name, text in (("name", SCORE), ("mutable", "False"), ("input_type", "text"), ("default_value", "1"),
                       ("values", "1")):
        add(attribute, name, text)
    size = ET.SubElement(task, "original_size")
    add(size, "width", str(found[0].width))
    add(size, "height", str(found[0].height))
    add(task, "source", found[0].reference)
    for number, (each, (frames, boxes)) in enumerate(zip(found, seen, strict=True)):
        track = ET.SubElement(root, "track", id=str(number), label=label, source="auto")
        last = int(frames[-1]) + 1
        for frame, box in [*zip(frames.tolist(), boxes.tolist(), strict=True), (last, boxes[-1].tolist())]:
            corners = {corner: f"{edge:.2f}" for corner, edge in zip(CORNERS, box, strict=True)}
            seen_here = {"keyframe": "1", "outside": str(int(frame == last)), "occluded": "0"}
            shape = ET.SubElement(track, "box", {"frame": str(frame), **seen_here, **corners, "z_order": "0"})
            add(shape, "attribute", repr(each.score)).set("name", SCORE)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def add(parent: ET.Element, tag: str, text: str) -> ET.Element:
    child = ET.SubElement(parent, tag)
    child.text = text
    return child


def import_cvat(path: Path, fps: float | None) -> list[Found]:
    """Every track, on straight lines between keyframes as in CVAT; score 1 where no attribute gives one."""
    file, rate = read_cvat_file(path), known_rate(fps)
    return [each for track in file.tracks for each in
            found_of(file.source, score_of(track.attributes[0].get(SCORE)), file.size, track.frames.tolist(),
                     track.boxes, rate)]
