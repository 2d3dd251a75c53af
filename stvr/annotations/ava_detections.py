"""Read boxes of AVA's keyframes as its evaluators do: ground truth and detections alike."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stvr.annotations.ava import LARGEST, is_header
from stvr.annotations.cells import Cells, read_cells, with_point
from stvr.annotations.rows import EDGES
from stvr.metrics.ava_frame_map import MAX_PER_FRAME, Keyframe, KeyframeBoxes
from stvr.video_names import ByVideo, plain_name

COLUMNS = ["video", "second", *EDGES, "action_id", "score"]
MOST_SHARE = 2.0  # what is more can only be pixels
NO_NAMES: ByVideo[None] = ByVideo({})
Entry = tuple[float, ...]  # score, label, y1, x1, y2, x2: the order in which the official evaluator compares rows


@dataclass(frozen=True, slots=True)
class Evaluator:
    """What differs between programs that score AVA's CSV.

    max_per_frame: how many rows of a keyframe count, best first; 0: all. keep: puts a row to those of its keyframe,
    of which at most so many are kept. ranked: these rows, in the order in which they take true boxes.
    counts_unlisted: detections at keyframes that the ground truth does not list are false; else they are left out.
    """

    max_per_frame: int
    keep: Callable[[list[Entry], Entry, int], None]
    ranked: Callable[[list[Entry]], list[Entry]]
    counts_unlisted: bool


@dataclass(frozen=True, slots=True, eq=False)
class AvaBoxes:
    """boxes: the rows that count, keyframe after keyframe. listed: all keyframes of the file, in its order.

    notes: a line for each kind of rows that do not count, or look wrong.
    """

    boxes: KeyframeBoxes
    listed: Collection[Keyframe]
    notes: Sequence[str] = ()


def keep_on_heap(rows: list[Entry], entry: Entry, capacity: int) -> None:
    """Puts the entry on the heap; in a full heap it replaces the worst, if its score is better."""
    if capacity < 1 or len(rows) < capacity:
        heapq.heappush(rows, entry)
    elif entry[0] > rows[0][0]:
        heapq.heapreplace(rows, entry)


def keep_all(rows: list[Entry], entry: Entry, capacity: int) -> None:
    rows.append(entry)


def best_first(rows: list[Entry]) -> list[Entry]:
    return sorted(rows, key=lambda row: -row[0])


EVALUATORS = {
    "official": Evaluator(MAX_PER_FRAME, keep_on_heap, best_first, counts_unlisted=False),  # get_ava_performance.py
    "mmaction2": Evaluator(0, keep_all, best_first, counts_unlisted=True),
    "slowfast": Evaluator(0, keep_all, list, counts_unlisted=True),  # true boxes are taken in the file's order
}


def read_ava_boxes(path: Path, classes: Container[int], evaluator: Evaluator = EVALUATORS["official"],
                   max_per_frame: int = 0, videos: ByVideo[None] = NO_NAMES) -> AvaBoxes:
    """Reads `video,second,x1,y1,x2,y2,action_id[,score]`; a row without a score has 1.

    Rows of other classes are left out. Of each keyframe the `max_per_frame` best rows are kept, 0 keeps all; equal
    scores are in the order of the evaluator. videos: those whose names are used where a name in the file means them.
    Raises: ValueError with the line of the first fault.
    """
    cells = read_cells(path, len(COLUMNS) - 1)
    names: dict[str, str] = {}
    listed: dict[Keyframe, None] = {}
    frames: dict[Keyframe, list[Entry]] = {}
    others, flat, outside = list[int](), list[int](), list[int]()
    for index, row in enumerate(cells.rows):
        if index == 0 and len(row) > 6 and is_header(row):
            continue
        if row[0] not in names:
            names[row[0]] = videos.name(row[0]) or plain_name(row[0])
        is_empty = len(row) > 1 and not any(row[2:])  # a video and a second alone: nobody is there
        second, entry = read_row(cells, index, is_empty)
        keyframe = names[row[0]], second
        listed[keyframe] = None
        if is_empty:
            continue
        if int(entry[1]) not in classes:
            others.append(index)
            continue
        _, _, y1, x1, y2, x2 = entry
        if not (x1 < x2 and y1 < y2):
            flat.append(index)
        if min(x1, y1) < 0 or max(x2, y2) > 1:
            outside.append(index)
        evaluator.keep(frames.setdefault(keyframe, []), entry, max_per_frame)
    counts_from_zero = any(with_point(cells.rows[index][6], cells.delimiter) == "0" for index in others)
    from_zero = ", and ids seem to count from 0" if counts_from_zero else ""
    return AvaBoxes(laid_out(frames, evaluator), listed, [
        f"{cells.where(rows[0])}: {what}; {len(rows)} such rows"
        for rows, what in (
            (others, f"a class that --labels does not name is left out{from_zero}"),
            (flat, "a box without area counts for nothing, wanted x1 < x2 and y1 < y2"),
            (outside, "a box sticks out of the picture"),
        ) if rows
    ])  # fmt: skip


def laid_out(frames: Mapping[Keyframe, list[Entry]], evaluator: Evaluator) -> KeyframeBoxes:
    ordered = [(key, entry) for key, rows in frames.items() for entry in evaluator.ranked(rows)]
    rows = np.array([entry for _, entry in ordered]).reshape(-1, 6)
    return KeyframeBoxes([key for key, _ in ordered], rows[:, 1].astype(np.int64), rows[:, 0], rows[:, [3, 2, 5, 4]])


def read_row(cells: Cells, index: int, is_empty: bool) -> tuple[int, Entry]:
    """The second, and the entry, of one line of the file. is_empty: it has no entry."""
    row, where = cells.rows[index], cells.where(index)
    if len(row) not in (7, 8) and not is_empty:
        raise ValueError(f"{where}: wanted video,second,x1,y1,x2,y2,action_id[,score], 7 or 8 columns, not {len(row)}.")
    try:
        filled = row[1:2] if is_empty else row[1:]
        second, *numbers = (float(with_point(cell, cells.delimiter)) for cell in filled)
        label = 0.0 if is_empty else numbers[4]
        usable = all(map(math.isfinite, (second, *numbers)))
    except ValueError:
        usable = False
    if not usable or second != round(second) or label != round(label) or max(abs(second), abs(label)) > LARGEST:
        raise ValueError(f"{where}: wanted numbers after the video, with a whole second and action id, not "
                         f"{','.join(row[1:])!r}.")
    if is_empty:
        return int(second), ()
    x1, y1, x2, y2 = numbers[:4]
    if max(map(abs, numbers[:4])) > MOST_SHARE:
        raise ValueError(f"{where}: the box is {x1:g}, {y1:g}, {x2:g}, {y2:g}, wanted shares of the picture, 0 to 1. "
                         "Divide pixels by its width and height.")
    return int(second), (numbers[5] if len(row) == 8 else 1.0, label, y1, x1, y2, x2)
