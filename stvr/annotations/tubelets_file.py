"""Read labelled tubelets, whoever made them, from JSON, JSON Lines or CSV, to score them without a model.

JSON: {"tubelets": [{"video": "v1", "label": "wave", "start": 12, "boxes": [[x1, y1, x2, y2], ...], "score": 0.9}, ...]}
or the list alone; JSON Lines: one such object a line. `start` is the first frame (or clip) and `boxes` has a box for it
and each that follows; ground truth needs no score. CSV: video,label,tubelet,frame,x1,y1,x2,y2[,score] with that header,
one row a box, where `tubelet` distinguishes those of one video and label; a tubelet's score is the mean of its rows.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stvr.annotations.ava import LARGEST
from stvr.annotations.cells import read_headed
from stvr.annotations.rows import EDGES
from stvr.metrics.video_map import LabelledTubelet
from stvr.structures import Span, Tubelet
from stvr.texts import read_json, read_text

KEY = ["video", "label", "tubelet"]


def read_labelled_tubelets(path: Path, inclusive: bool = False) -> list[LabelledTubelet]:
    """The tubelets of a file, in its order. inclusive: x2 and y2 are the last pixel, so 1 is added to both.

    Raises ValueError with the place of the first fault.
    """
    if path.suffix.lower() in (".csv", ".tsv"):
        return from_table(path, inclusive)
    return [from_json(each, f"{path.name}, tubelet {i}", inclusive) for i, each in enumerate(objects(path))]


def objects(path: Path) -> list[Any]:
    """One JSON document, or a document a line."""
    try:
        content = read_json(path)
    except ValueError as error:
        try:
            content = [json.loads(line) for line in read_text(path).split("\n") if line.strip()]
        except (json.JSONDecodeError, RecursionError):
            raise ValueError(f"{path.name} is neither JSON nor JSON Lines: {error}") from None
    if isinstance(content, dict):
        content = content.get("tubelets", [content])
    if not isinstance(content, list):
        raise ValueError(f'{path.name}: wanted {{"tubelets": [...]}} or a list, not a {type(content).__name__}.')
    return content


def from_json(each: Any, where: str, inclusive: bool) -> LabelledTubelet:
    try:
        boxes = np.array(each["boxes"], np.float64)
        video, label, start = str(each["video"]), str(each["label"]), int(each["start"])
        score = float(each.get("score", 1.0))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ValueError(f"{where}: wanted video, label, start, boxes and a score ({type(error).__name__}: {error}).") \
            from None
    return tubelet(video, label, start, boxes, score, where, inclusive)


def from_table(path: Path, inclusive: bool) -> list[LabelledTubelet]:
    cells, places = read_headed(path, [*KEY, "frame", *EDGES], " and, for detections, score")
    numeric = ["frame", *EDGES, *(["score"] if "score" in places else [])]
    groups: dict[tuple[str, ...], list[list[float]]] = {}
    for index, row in enumerate(cells.rows):
        numbers = [cells.number(row[places[name]], name, cells.where(index)) for name in numeric]
        if numbers[0] != round(numbers[0]) or abs(numbers[0]) > LARGEST:
            raise ValueError(f"{cells.where(index)}: frame is {row[places['frame']]!r}, wanted a whole number.")
        groups.setdefault(tuple(row[places[name]] for name in KEY), []).append(numbers)
    read = []
    for (video, label, number), rows in groups.items():
        values, where = np.array(sorted(rows)), f"{path.name}, tubelet {number} of {video!r}"  # (T, numeric)
        if (np.diff(values[:, 0]) != 1).any():
            raise ValueError(f"{where}: wanted a box in every frame from its first to its last. Fill the gaps or split "
                             "the tubelet.")
        score = float(values[:, 5].mean()) if "score" in places else 1.0
        read.append(tubelet(video, label, int(values[0, 0]), values[:, 1:5], score, where, inclusive))
    return read


def tubelet(
    video: str, label: str, start: int, boxes: np.ndarray, score: float, where: str, inclusive: bool
) -> LabelledTubelet:
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not len(boxes) or not 0 <= start <= LARGEST:
        raise ValueError(f"{where}: wanted start >= 0 and boxes (T, 4), at least one, not {start} and {boxes.shape}.")
    boxes = boxes + np.array([0, 0, 1, 1]) if inclusive else boxes
    if not np.isfinite(boxes).all() or not math.isfinite(score) or (boxes[:, 2:] < boxes[:, :2]).any():
        raise ValueError(f"{where}: wanted finite numbers and boxes x1, y1, x2, y2 with x1 <= x2 and y1 <= y2.")
    return LabelledTubelet(label, Tubelet(Span(video, start, start + len(boxes)), torch.from_numpy(boxes), score))
