"""A contact sheet of a synthetic world: some of its videos, a row each, with the boxes of their actors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stvr.world.options import SPLITS, WorldOptions
from stvr.world.painting import Floats
from stvr.world.scenes import build_scene

A_SPLIT, COLUMNS = 3, 8  # videos of each split; moments of each
GAP = 2  # pixels between pictures
COLOURS = np.array([[255, 255, 255], [255, 210, 0], [0, 220, 255], [255, 90, 200], [120, 255, 90]], np.uint8)


def contact_sheet(options: WorldOptions) -> NDArray[np.uint8]:
    """(height, width, 3) RGB: the first videos of every split, at even moments from left to right."""
    names = [name for split in SPLITS for name in options.names() if name.startswith(split)
             and int(name.partition("_")[2]) < A_SPLIT]
    return np.concatenate([_row(options, name) for name in names])


def _row(options: WorldOptions, name: str) -> NDArray[np.uint8]:
    scene = build_scene(options, name)
    moments = ((np.arange(COLUMNS) + 0.5) / COLUMNS * scene.num_frames).astype(np.int64)
    pictures = scene.frames_at(moments)
    for person, boxes in enumerate(scene.boxes_at(moments)):
        for picture, box in zip(pictures, boxes, strict=True):
            draw_box(picture, box, COLOURS[person % len(COLOURS)])
    return np.concatenate([np.pad(picture, [(0, GAP), (0, GAP), (0, 0)]) for picture in pictures], 1)


def draw_box(picture: NDArray[np.uint8], box: Floats, colour: Sequence[int] | NDArray[np.uint8]) -> None:
    """A line of one pixel just inside a box xyxy in [0, 1], in place."""
    left, top, right, bottom = np.round(box * len(picture)).astype(int).tolist()
    picture[top:bottom, [left, right - 1]] = colour
    picture[[top, bottom - 1], left:right] = colour
