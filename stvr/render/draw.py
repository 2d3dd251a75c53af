"""Draws boxes, words and a bar of time on RGB pictures, uint8 (H, W, 3)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torchvision.utils import draw_bounding_boxes

from stvr.video.pictures import Picture

Colour = tuple[int, int, int]

# Okabe and Ito's colours, which colour-blind people can tell apart, the dark ones lightened for video
PALETTE: tuple[Colour, ...] = (
    (86, 180, 233), (240, 160, 20), (30, 200, 140), (240, 228, 66), (235, 105, 45), (214, 140, 190),
)  # fmt: skip
TRUTH: Colour = (255, 255, 255)
DARK: Colour = (24, 26, 30)
LANE: Colour = (62, 66, 74)


def colour_of(index: int) -> Colour:
    return PALETTE[index % len(PALETTE)]


def stroke(picture: Picture) -> int:
    """Thickness in pixels of a line that stays visible at this size."""
    return max(2, round(min(picture.shape[:2]) / 160))


def text_scale(picture: Picture) -> int:
    """By how much the small font is enlarged for this size."""
    return max(1, round(min(picture.shape[:2]) / 300))


def draw_box(picture: Picture, box: ArrayLike, colour: Colour, *, title: str = "", dashed: bool = False) -> None:
    """Outlines `box` (xyxy in [0, 1]) in place, with `title` on its upper edge; parts outside are cut off."""
    height, width = picture.shape[:2]
    last = np.array([width, height, width, height]) - 1
    x1, y1, x2, y2 = (int(edge) for edge in np.clip(np.asarray(box, float) * (last + 1), 0, last).round())
    line = stroke(picture)
    inner = picture[y1 : y2 + 1, x1 : x2 + 1]
    tall, wide = inner.shape[0], inner.shape[1]
    edge = np.ones((tall, wide), bool)
    edge[line:-line, line:-line] = False
    rim = np.ones_like(edge)  # a dark line inside, so that the box is visible on any background
    rim[line + 1 : -line - 1, line + 1 : -line - 1] = False
    if dashed:
        drawn = np.arange(max(picture.shape[:2])) // (4 * line) % 2 == 0
        rows, columns = drawn[:tall, None], drawn[:wide]
        sides = np.zeros_like(edge)
        sides[line:-line] = True
        edge &= np.where(sides, rows, columns)
    inner[rim] = DARK
    inner[edge] = colour
    if title:
        draw_words(picture, title, x1, y1, colour)


def draw_words(picture: Picture, text: str, x: int, y: int, colour: Colour) -> None:
    """Dark words on a patch of `colour`, its lower left corner at (x, y) or where the patch fits into the picture."""
    mask = letters(text, text_scale(picture))[: picture.shape[0], : picture.shape[1], None]
    top = min(max(y - mask.shape[0], 0), picture.shape[0] - mask.shape[0])
    left = min(max(x, 0), picture.shape[1] - mask.shape[1])
    patch = mask * np.array(DARK) + (1 - mask) * np.array(colour)
    picture[top : top + mask.shape[0], left : left + mask.shape[1]] = patch.round().astype(np.uint8)


@lru_cache(maxsize=256)
def letters(text: str, scale: int) -> NDArray[np.float64]:
    """How much of each pixel `text` covers, (13 scale, W) in [0, 1]: torchvision's small font, enlarged."""
    text = text.replace(" ", "  ")  # the font's spaces are narrow
    canvas = torch.zeros(3, 13, 12 * len(text) + 16, dtype=torch.uint8)
    frame = torch.tensor([[0, -1, 1, 1]])  # its corner places the words; its outline is black, so it does not show
    drawn = draw_bounding_boxes(canvas, frame, labels=[text], colors="black", label_colors="white")[0] / 255
    columns = torch.nonzero(drawn.any(0)).flatten()
    drawn = drawn[:, : int(columns.max()) + 4 if len(columns) else 1]
    size = (drawn.shape[0] * scale, drawn.shape[1] * scale)
    large = torch.nn.functional.interpolate(drawn[None, None], size=size, mode="bicubic", antialias=True)
    return large[0, 0].clamp(0, 1).double().numpy()


def with_time_bar(picture: Picture, lanes: Sequence[tuple[float, float]], seconds: float, duration: float) -> Picture:
    """The picture with a strip below it: a lane for each tubelet, coloured from lanes[i][0] to lanes[i][1] seconds.

    A white line stands at `seconds`; the strip is `duration` seconds wide. Returns (H + strip, W, 3).
    """
    width, unit = picture.shape[1], stroke(picture)
    words_height = 13 * text_scale(picture)
    strip = np.full((words_height + unit + 4 * unit * max(len(lanes), 1), width, 3), DARK, np.uint8)

    def column(at: float) -> int:
        return round((width - 1) * min(max(at / max(duration, 1e-9), 0), 1))

    for index, (start, stop) in enumerate(lanes or [(0.0, 0.0)]):
        lane = strip[unit + 4 * unit * index :][: 3 * unit]
        lane[:] = LANE
        if stop > start:
            lane[:, column(start) : column(stop) + 1] = colour_of(index)
    now = min(column(seconds), width - unit)
    strip[:-words_height, now : now + unit] = TRUTH
    write_time(strip, f"{seconds:.1f} s of {duration:.1f} s", text_scale(picture))
    return np.concatenate([picture, strip])


def write_time(strip: Picture, text: str, scale: int) -> None:
    mask = letters(text, scale)[:, : strip.shape[1], None]
    lower = strip[-mask.shape[0] :, : mask.shape[1]]
    lower[:] = (mask * np.array(TRUTH) * 0.85 + (1 - mask) * np.array(DARK)).round()
