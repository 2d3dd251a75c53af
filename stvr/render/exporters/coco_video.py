"""COCO-video JSON as in CocoVID: videos, images (one for each frame), annotations with an instance_id."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stvr.render.exporters.records import DECIMALS, Found, by_video
from stvr.render.exporters.tracks import found_of, frames_of, known_rate, score_of


def export_coco_video(found: Sequence[Found], label: str, rates: Mapping[str, float]) -> str:
    """One object; boxes x, y, width, height in pixels, frame_id from 0, a score with each annotation."""
    videos: list[dict[str, Any]] = []
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for video_id, (reference, group) in enumerate(by_video(found).items(), start=1):
        size = {"width": group[0].width, "height": group[0].height}
        videos.append({"id": video_id, "name": reference, **size, "fps": rates[reference]})
        image_ids: dict[int, int] = {}
        for instance, each in enumerate(group, start=1):
            for frame, box in zip(*frames_of(each, rates[reference]), strict=True):
                if frame not in image_ids:
                    image_ids[frame] = len(images) + 1
                    images.append({"id": image_ids[frame], "video_id": video_id, "frame_id": int(frame),
                                   "file_name": f"{Path(reference).stem}/{frame:06d}.jpg", **size})
                x1, y1, x2, y2 = box.tolist()
                sides = round(x2 - x1, DECIMALS), round(y2 - y1, DECIMALS)
                annotations.append({
                    "id": len(annotations) + 1, "image_id": image_ids[frame], "video_id": video_id, "category_id": 1,
                    "instance_id": instance, "bbox": [x1, y1, *sides], "area": round(sides[0] * sides[1], 4),
                    "iscrowd": 0, "score": each.score,
                })  # fmt: skip
    return json.dumps({"videos": videos, "categories": [{"id": 1, "name": label}], "images": images,
                       "annotations": annotations}, ensure_ascii=False)


def import_coco_video(path: Path, fps: float | None) -> list[Found]:
    """The tracks of every video; `fps` for videos whose entry does not give it."""
    content = json.loads(path.read_text(encoding="utf-8"))
    videos = {video["id"]: video for video in content["videos"]}
    images = {image["id"]: image for image in content["images"]}
    tracks: dict[tuple[Any, Any], list[dict[str, Any]]] = {}
    for annotation in content["annotations"]:
        video = images[annotation["image_id"]]["video_id"]
        tracks.setdefault((video, annotation["instance_id"]), []).append(annotation)
    found = []
    for (video_id, _), group in tracks.items():
        video = videos[video_id]
        frames = [int(images[each["image_id"]]["frame_id"]) for each in group]
        boxes = np.array([each["bbox"] for each in group], np.float64)
        boxes[:, 2:] += boxes[:, :2]
        found += found_of(video["name"], score_of(group[0].get("score")), (video["width"], video["height"]), frames,
                          boxes, known_rate(video.get("fps", fps)))
    return found
