"""COCO-video JSON as in CocoVID: videos, images (one for each frame), annotations with an instance_id."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stvr.render.exporters.account import Account
from stvr.render.exporters.at_hand import Size, Videos
from stvr.render.exporters.marked import Mark, found_in
from stvr.render.exporters.objects import corner_and_sides, entries, id_of, inner, number, wanted, who, whole_number
from stvr.render.exporters.records import DECIMALS, Found, by_video, instances, text_of, video_names
from stvr.render.exporters.tracks import frames_of
from stvr.texts import read_json
from stvr.video.frame_times import FrameTimes

FROM_ZERO = "frame_id counts from 0"  # in our own files, so that nobody has to guess


def export_coco_video(found: Sequence[Found], times: Mapping[str, FrameTimes]) -> str:
    """One object; boxes x, y, width, height in pixels, frame_id from 0, a score with each annotation."""
    videos: list[dict[str, Any]] = []
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    names = video_names(found)
    categories = {label: index for index, label in enumerate(dict.fromkeys(each.label for each in found), start=1)}
    for video_id, (reference, group) in enumerate(by_video(found).items(), start=1):
        size = {"width": group[0].width, "height": group[0].height}
        videos.append({"id": video_id, "name": reference, **size, "fps": times[reference].rate})
        image_ids: dict[int, int] = {}
        for instance, each in zip(instances(group), group, strict=True):
            for frame, box in zip(*frames_of(each, times[reference]), strict=True):
                if frame not in image_ids:
                    image_ids[frame] = len(images) + 1
                    images.append({"id": image_ids[frame], "video_id": video_id, "frame_id": int(frame),
                                   "file_name": f"{names[reference]}/{frame:06d}.jpg", **size})
                x1, y1, x2, y2 = box.tolist()
                sides = round(x2 - x1, DECIMALS), round(y2 - y1, DECIMALS)
                annotations.append({
                    "id": len(annotations) + 1, "image_id": image_ids[frame], "video_id": video_id,
                    "category_id": categories[each.label], "instance_id": instance, "bbox": [x1, y1, *sides],
                    "area": round(sides[0] * sides[1], 4), "iscrowd": 0, "score": each.score,
                })  # fmt: skip
    return json.dumps({"info": {"description": FROM_ZERO}, "videos": videos,
                       "categories": [{"id": index, "name": label} for label, index in categories.items()],
                       "images": images, "annotations": annotations}, ensure_ascii=False)


def import_coco_video(path: Path, fps: float | None, size: Size | None, videos: Videos,
                      account: Account) -> list[Found]:
    """The tracks of every video; `fps` and `size` for those whose entries do not give them.

    An id is instance_id or track_id, of an annotation or of its attributes; a width and height are the video's or its
    images'.
    """
    content = read_json(path)
    if isinstance(content, dict) and "images" not in content and "videos" in content:
        raise ValueError("it has no 'images', so it is YouTube-VIS perhaps; wanted COCO-video as in CocoVID, with an "
                         "image for each frame and its 'video_id' and 'frame_id'.")
    named = {id_of(video, "id", "a video"): video for video in entries(content, "videos", "the file")}
    images = {id_of(image, "id", "an image"): image for image in entries(content, "images", "the file")}
    categories = entries(content, "categories", "the file") if content.get("categories") else []
    labels = {id_of(each, "id", "a category"): text_of(each.get("name")) for each in categories}
    marks: dict[Any, list[Mark]] = {video: [] for video in named}
    first = first_frame(content, path, account)
    for index, annotation in enumerate(entries(content, "annotations", "the file")):
        place = f"annotation {wanted(annotation, 'id', f'annotations[{index}]')}"
        image = images.get(id_of(annotation, "image_id", place))
        video = None if image is None else id_of(image, "video_id", f"image {image['id']}")
        if image is None or video not in named:
            raise ValueError(f"{place} belongs to an image or a video that the file does not list.")
        if annotation.get("iscrowd"):
            account.leave_out("boxes", "they are around a crowd, not one person", f"{path.name}, {place}")
        elif annotation.get("bbox") is None:
            account.leave_out("annotations", "they have no 'bbox'", f"{path.name}, {place}")
        else:
            frame = whole_number(wanted(image, "frame_id", f"image {image['id']}"), f"frame_id of image {image['id']}")
            marks[video].append(mark_of(annotation, frame - first, labels, place))
    sizes = sizes_of(images.values(), "video_id") | sizes_of(named.values(), "id")
    return [each for video_id, video in named.items() for each in
            found_in(name_of(video), marks[video_id], sizes.get(video_id, size), rate_of(video, fps), videos, account,
                     path.name)]


def mark_of(annotation: dict[str, Any], frame: int, labels: Mapping[Any, str], place: str) -> Mark:
    more = inner(annotation, "attributes", place)
    person = who(annotation.get("instance_id"), annotation.get("track_id"), more.get("track_id"),
                 more.get("instance_id"))
    score = annotation.get("score")
    label = "" if annotation.get("category_id") is None else labels.get(id_of(annotation, "category_id", place), "")
    return Mark(frame, corner_and_sides(annotation["bbox"], place), person, label,
                1.0 if score is None else number(score, f"the score of {place}"), place)


def first_frame(content: dict[str, Any], path: Path, account: Account) -> int:
    """1 where every video's frames begin with 1, as in files made of MOT's; else 0, as CocoVID says."""
    info = inner(content, "info", "the file")
    lowest: dict[float | str, int] = {}
    for image in content["images"]:
        where = f"image {image['id']}"
        video = id_of(image, "video_id", where)
        frame = whole_number(wanted(image, "frame_id", where), f"frame_id of {where}")
        lowest[video] = min(frame, lowest.get(video, frame))
    ours = info.get("description") == FROM_ZERO
    if ours or not lowest or set(lowest.values()) != {1}:
        return 0
    account.say(path.name, "frames are counted from 1, not from 0 as in CocoVID")
    return 1


def name_of(video: dict[str, Any]) -> str:
    return str(video.get("name") or wanted(video, "file_name", f"video {video['id']}"))


def rate_of(video: dict[str, Any], fps: float | None) -> float | None:
    rate = video.get("fps")
    return fps if rate is None else number(rate, f"fps of video {video['id']}")


def sizes_of(entries: Iterable[dict[str, Any]], key: str) -> dict[Any, Size]:
    """(width, height) by the value of `key`, of the first entry that has them: videos by id, or images by video_id."""
    sizes: dict[Any, Size] = {}
    for each in entries:
        if each.get("width") and each.get("height") and each.get(key) not in sizes:
            sizes[each.get(key)] = whole_number(each["width"], "a width"), whole_number(each["height"], "a height")
    return sizes
