"""Read boxes of AVA's keyframes as its official evaluator does: ground truth and detections alike."""

from __future__ import annotations

import csv
import heapq
import math
from collections import defaultdict
from collections.abc import Container
from pathlib import Path

import numpy as np

from stvr.metrics.ava_frame_map import KeyframeBoxes

Entry = tuple[float, ...]  # score, label, y1, x1, y2, x2: the order in which the evaluator compares rows


def read_ava_boxes(path: Path, classes: Container[int], max_per_frame: int = 0) -> KeyframeBoxes:
    """Reads `video,second,x1,y1,x2,y2,action_id[,score]`, no header; a row without a score has 1.

    Rows of other classes are left out. Of each keyframe the `max_per_frame` best rows are kept, 0 keeps all. Keyframes
    are in the order of their first row, their rows from the best score down; equal scores are in the order of the
    evaluator's own heap.
    Raises: ValueError with the line of the first fault.
    """
    frames: dict[tuple[str, int], list[Entry]] = defaultdict(list)
    with path.open(encoding="utf-8-sig", newline="") as file:
        for number, row in enumerate(csv.reader(file), start=1):
            if not any(cell.strip() for cell in row[2:]) and len(row) != 1:
                continue  # an empty line, or a video and a second alone: nobody is there
            keyframe, entry = read_row(row, f"{path.name}, line {number}")
            if int(entry[1]) in classes:
                keep_best(frames[keyframe], entry, max_per_frame)
    ordered = [(key, entry) for key, rows in frames.items() for entry in sorted(rows, key=lambda row: -row[0])]
    rows = np.array([entry for _, entry in ordered]).reshape(-1, 6)
    return KeyframeBoxes([key for key, _ in ordered], rows[:, 1].astype(np.int64), rows[:, 0], rows[:, [3, 2, 5, 4]])


def keep_best(rows: list[Entry], entry: Entry, capacity: int) -> None:
    """Puts the entry on the heap; in a full heap it replaces the worst, if its score is better."""
    if capacity < 1 or len(rows) < capacity:
        heapq.heappush(rows, entry)
    elif entry[0] > rows[0][0]:
        heapq.heapreplace(rows, entry)


def read_row(row: list[str], where: str) -> tuple[tuple[str, int], Entry]:
    """((video, second), entry) of one line of the file."""
    if len(row) not in (7, 8):
        raise ValueError(f"{where}: wanted video,second,x1,y1,x2,y2,action_id[,score], 7 or 8 columns, not {len(row)}.")
    try:
        second, label = int(row[1]), int(row[6])
        x1, y1, x2, y2, score = (float(cell) for cell in (*row[2:6], row[7] if len(row) == 8 else "1"))
    except ValueError:
        second, label, x1, y1, x2, y2, score = 0, 0, *[math.nan] * 5
    if not all(map(math.isfinite, (x1, y1, x2, y2, score))):
        raise ValueError(f"{where}: wanted numbers after the video, with a whole second and action id, not "
                         f"{','.join(row[1:])!r}.")
    return (row[0], second), (score, label, y1, x1, y2, x2)
