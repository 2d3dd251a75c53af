"""A box that goes with what it was drawn around, picture by picture, for the second of an example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from stvr.studio.shelf import Box, as_box, second_around
from stvr.studio.stills import Film
from stvr.video.pictures import Picture

PICTURES_A_SECOND = 12
HEIGHT = 144  # pixels, of the pictures that are compared
REACH = 0.12  # of the picture's height, that a box moves from one picture to the next
LEAST = 0.5  # correlation below which what is boxed is lost
RENEWED = 0.15  # of the pattern, by each picture that it was found in
FLAT = 0.004  # deviation of grey levels in [0, 1] below which a pattern says nothing: a level of 255

Place = tuple[int, int]  # the upper left corner of a box in a picture: row, column


class Track(NamedTuple):
    """(seconds, box) in order of time; followed: whether what is boxed was found in all of them."""

    places: tuple[tuple[float, Box], ...]
    followed: bool


def track_box(film: Film, at: float, box: Box) -> Track:
    """The box of `at` for the second around it. Where it is lost, it stands still from there on."""
    start, stop = second_around(at, film.first, film.last)
    every = np.arange(start, stop, 1 / PICTURES_A_SECOND).tolist()
    indices = sorted({film.index_at(each) for each in (at, *every)})
    pictures = [small(film.picture(index)) for index in indices]
    boxes, followed = follow(pictures, indices.index(film.index_at(at)), box)
    times = [float(film.edges[index]) for index in indices]
    return Track(tuple(zip(times, boxes, strict=True)), followed)


def follow(pictures: Sequence[Tensor], given: int, box: Box) -> tuple[list[Box], bool]:
    """Of grey pictures (H, W), all alike in size, the box in each; that of picture `given` is known."""
    rows, columns = pictures[given].shape
    left, top, right, bottom = (round(edge * size) for edge, size in zip(box, (columns, rows) * 2, strict=True))
    height, width = max(bottom - top, 2), max(right - left, 2)
    start = min(top, rows - height), min(left, columns - width)
    boxes, followed = [box] * len(pictures), True
    for numbers in (range(given + 1, len(pictures)), range(given - 1, -1, -1)):
        place, pattern = start, cut(pictures[given], start, height, width)
        for number in numbers:
            found = best_place(pictures[number], pattern, place) if followed else None
            if found is None:
                followed = False
            else:
                place = found
                pattern = torch.lerp(pattern, cut(pictures[number], place, height, width), RENEWED)
            down, across = (place[0] - start[0]) / rows, (place[1] - start[1]) / columns
            boxes[number] = as_box((box[0] + across, box[1] + down, box[2] + across, box[3] + down))
    return boxes, followed


def cut(picture: Tensor, place: Place, height: int, width: int) -> Tensor:
    return picture[place[0] : place[0] + height, place[1] : place[1] + width]


def best_place(picture: Tensor, pattern: Tensor, place: Place) -> Place | None:
    """Where near `place` a picture (H, W) correlates most with a pattern; None where nothing is like it."""
    height, width = pattern.shape
    reach = max(round(REACH * picture.shape[0]), 2)
    top, left = max(place[0] - reach, 0), max(place[1] - reach, 0)
    near = picture[top : place[0] + reach + height, left : place[1] + reach + width].double()[None, None]
    centred = pattern.double() - pattern.mean()
    size = centred.norm()
    if size < FLAT * pattern.numel() ** 0.5:
        return None
    mean, square = (F.avg_pool2d(each, (height, width), 1) for each in (near, near**2))
    deviation = ((square - mean**2).clamp_min(0) * pattern.numel()).sqrt()
    likeness = F.conv2d(near, centred[None, None]) / (size * deviation).clamp_min(1e-9)
    row, column = divmod(int(likeness.argmax()), likeness.shape[-1])
    return (top + row, left + column) if float(likeness.max()) >= LEAST else None


def small(picture: Picture) -> Tensor:
    """RGB (H, W, 3) -> grey (h, w) in [0, 1], at most HEIGHT high."""
    grey = torch.from_numpy(picture).float().mean(-1)[None, None] / 255
    height = min(HEIGHT, picture.shape[0])
    return F.interpolate(grey, (height, max(round(picture.shape[1] * height / picture.shape[0]), 2)), mode="area")[0, 0]
