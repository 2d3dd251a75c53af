"""FiftyOne's samples as JSON, labels only: what `fiftyone.Sample.from_dict` takes; no database is needed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stvr.render.exporters.records import Found, by_video
from stvr.render.exporters.tracks import found_of, frames_of, known_rate, score_of


def export_fiftyone(found: Sequence[Found], label: str, rates: Mapping[str, float]) -> str:
    """{"samples": [...]}, one for each video: frames from 1 with Detections (x, y, width, height as fractions of the
    picture), and each tubelet as a TemporalDetection."""
    return json.dumps({"samples": [sample_of(reference, group, label, rates[reference])
                                   for reference, group in by_video(found).items()]}, ensure_ascii=False)


def sample_of(reference: str, group: Sequence[Found], label: str, fps: float) -> dict[str, Any]:
    frames: dict[int, list[dict[str, Any]]] = {}
    events = []
    for index, each in enumerate(group, start=1):
        numbers, boxes = frames_of(each, fps)
        shares = boxes / (each.width, each.height, each.width, each.height)
        shares[:, 2:] -= shares[:, :2]
        known = {"tags": [], "label": label, "confidence": each.score}
        for frame, box in zip((numbers + 1).tolist(), shares.tolist(), strict=True):
            frames.setdefault(frame, []).append({"_cls": "Detection", **known, "index": index,
                                                 "bounding_box": [round(edge, 9) for edge in box]})
        events.append({"_cls": "TemporalDetection", **known, "support": [int(numbers[0]) + 1, int(numbers[-1]) + 1]})
    return {
        "filepath": reference, "tags": [], "_media_type": "video",
        "metadata": {"_cls": "VideoMetadata", "frame_width": group[0].width, "frame_height": group[0].height,
                     "frame_rate": fps},
        "events": {"_cls": "TemporalDetections", "detections": events},
        "frames": {str(frame): {"frame_number": frame, "detections": {"_cls": "Detections", "detections": inside}}
                   for frame, inside in sorted(frames.items())},
    }  # fmt: skip


def import_fiftyone(path: Path, fps: float | None) -> list[Found]:
    """The detections of every sample, by index; `fps` for samples whose metadata do not give it."""
    found = []
    for sample in json.loads(path.read_text(encoding="utf-8"))["samples"]:
        metadata = sample["metadata"]
        size = int(metadata["frame_width"]), int(metadata["frame_height"])
        tracks: dict[Any, list[tuple[int, dict[str, Any]]]] = {}
        for frame, content in sample["frames"].items():
            for detection in content["detections"]["detections"]:
                tracks.setdefault(detection["index"], []).append((int(frame) - 1, detection))
        for track in tracks.values():
            boxes = np.array([detection["bounding_box"] for _, detection in track], np.float64)
            boxes[:, 2:] += boxes[:, :2]
            found += found_of(sample["filepath"], score_of(track[0][1].get("confidence")), size,
                              [frame for frame, _ in track], boxes * [*size, *size],
                              known_rate(metadata.get("frame_rate", fps)))
    return found
