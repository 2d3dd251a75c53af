"""FiftyOne's samples as JSON, labels only: what `fiftyone.Sample.from_dict` takes; no database is needed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stvr.render.exporters.account import Account
from stvr.render.exporters.at_hand import Size, Videos, file_of
from stvr.render.exporters.marked import Mark, found_in
from stvr.render.exporters.objects import corner_and_sides, entries, inner, number, wanted, who, whole_number
from stvr.render.exporters.records import Found, by_video, instances, text_of
from stvr.render.exporters.tracks import frames_of
from stvr.texts import read_json
from stvr.video.frame_times import FrameTimes, read_frame_times

FIELD = "detections"  # the field of a frame that `export_fiftyone` writes
BOXES = "Detections"  # what FiftyOne calls the kind of a field of boxes


def export_fiftyone(found: Sequence[Found], times: Mapping[str, FrameTimes]) -> str:
    """{"samples": [...]}, one for each video: frames from 1 with Detections (x, y, width, height as fractions of the
    picture), and each tubelet as a TemporalDetection."""
    return json.dumps({"samples": [sample_of(reference, group, times[reference])
                                   for reference, group in by_video(found).items()]}, ensure_ascii=False)


def sample_of(reference: str, group: Sequence[Found], times: FrameTimes) -> dict[str, Any]:
    frames: dict[int, list[dict[str, Any]]] = {}
    events = []
    for index, each in zip(instances(group), group, strict=True):
        numbers, boxes = frames_of(each, times)
        shares = boxes / (each.width, each.height, each.width, each.height)
        shares[:, 2:] -= shares[:, :2]
        known = {"tags": [], "label": each.label, "confidence": each.score}
        for frame, box in zip((numbers + 1).tolist(), shares.tolist(), strict=True):
            frames.setdefault(frame, []).append({"_cls": "Detection", **known, "index": index,
                                                 "bounding_box": [round(edge, 9) for edge in box]})
        events.append({"_cls": "TemporalDetection", **known, "support": [int(numbers[0]) + 1, int(numbers[-1]) + 1]})
    return {
        "filepath": reference, "tags": [], "_media_type": "video",
        "metadata": {"_cls": "VideoMetadata", "frame_width": group[0].width, "frame_height": group[0].height,
                     "frame_rate": times.rate},
        "events": {"_cls": "TemporalDetections", "detections": events},
        "frames": {str(frame): {"frame_number": frame, FIELD: {"_cls": BOXES, "detections": inside}}
                   for frame, inside in sorted(frames.items())},
    }  # fmt: skip


def import_fiftyone(path: Path, fps: float | None, size: Size | None, videos: Videos,
                    account: Account) -> list[Found]:
    """The detections of every sample, by index or instance; `fps` and `size` for samples without metadata."""
    return [each for sample in entries(read_json(path), "samples", "the file")
            for each in import_sample(sample, fps, size, videos, account, path.name)]


def import_sample(sample: dict[str, Any], fps: float | None, size: Size | None, videos: Videos,
                  account: Account, source: str) -> list[Found]:
    reference = str(wanted(sample, "filepath", "a sample"))
    frames, metadata = inner(sample, "frames", reference), inner(sample, "metadata", reference)
    if metadata.get("frame_width") and metadata.get("frame_height"):
        size = (whole_number(metadata["frame_width"], "frame_width"),
                whole_number(metadata["frame_height"], "frame_height"))
    elif size is None and (file := file_of(reference, videos)):
        size = read_frame_times(file)[1]
    if size is None and frames:
        raise ValueError(f"the sample {reference} has no 'metadata' with 'frame_width' and 'frame_height', so its "
                         "boxes are shares of an unknown size. Give --size WIDTHxHEIGHT, or --videos.")
    rate = metadata.get("frame_rate")
    return found_in(reference, marks_of(frames, size or (1, 1), reference), size,
                    fps if rate is None else number(rate, "frame_rate"), videos, account, source)


def marks_of(frames: dict[str, Any], size: Size, reference: str) -> list[Mark]:
    field = field_of(frames, reference)
    marks = []
    for key in frames:
        where = f"frame {key} of {reference}"
        inside = inner(inner(frames, key, reference), field, where)
        frame = whole_number(key, f"a frame of {reference}") - 1
        detections = entries(inside, "detections", where) if inside.get("detections") else []
        for index, detection in enumerate(detections):
            place = f"frame {key}, detection {index}"
            shares = corner_and_sides(wanted(detection, "bounding_box", place), place)
            instance = detection.get("instance")
            instance = instance.get("_id") if isinstance(instance, dict) else instance
            person = who(detection.get("index"), instance.get("$oid") if isinstance(instance, dict) else instance)
            score = detection.get("confidence")
            x1, y1, x2, y2 = shares
            marks.append(Mark(frame, (x1 * size[0], y1 * size[1], x2 * size[0], y2 * size[1]), person,
                              text_of(detection.get("label")),
                              1.0 if score is None else number(score, f"the confidence of {place}"), place))
    return marks


def field_of(frames: Mapping[str, Any], reference: str) -> str:
    """The field of the frames that holds boxes; ours where there are several."""
    fields = {name for content in frames.values() if isinstance(content, dict)
              for name, value in content.items() if isinstance(value, dict) and value.get("_cls", BOXES) == BOXES
              and "detections" in value}
    if len(fields) > 1 and FIELD not in fields:
        raise ValueError(f"the frames of {reference} have several fields of boxes ({', '.join(sorted(fields))}). Leave "
                         "one, or call one 'detections'.")
    return FIELD if FIELD in fields or not fields else fields.pop()
