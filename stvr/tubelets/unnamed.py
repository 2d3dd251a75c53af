"""Boxes that nobody has named become tracks, as detections do."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stvr.tubelets.linking import LINKERS, MAX_GAP, MIN_IOU


def number_tracks(frames: ArrayLike, boxes: ArrayLike) -> NDArray[np.int64]:
    """For each of N boxes (N, 4), in frames (N,), the number of its track, from 0 in the order in which they begin.

    Frames without any box are stepped over, so boxes in every tenth frame are linked as well as those in every frame.
    """
    seen, step = np.unique(np.asarray(frames), return_inverse=True)
    corners = np.asarray(boxes, np.float64).reshape(-1, 4)
    places = [np.flatnonzero(step == index) for index in range(len(seen))]
    tracks = LINKERS["online"]([(corners[inside], np.ones(len(inside))) for inside in places], MIN_IOU, MAX_GAP)
    numbers = np.full(len(corners), -1, np.int64)
    for number, track in enumerate(tracks):
        for moment, box in zip(track.clips, track.boxes, strict=True):
            free = [each for each in places[moment] if numbers[each] < 0 and (corners[each] == box).all()]
            numbers[free[0]] = number
    return numbers
