"""Videos of a striped or dotted thing that moves over a mottled ground; where it is at any time is known."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

WIDTH, HEIGHT = 192, 128
SIZE = 48  # a side of the thing, pixels
SWING = 30  # pixels to either side of the middle
TICK = Fraction(1, 1200)  # seconds


def even(seconds: float, rate: int = 24) -> list[Fraction]:
    """The times of pictures at a constant rate."""
    return [Fraction(number, rate) for number in range(round(seconds * rate))]


def uneven(seconds: float) -> list[Fraction]:
    """Intervals of a 40th, a 20th and a 12th of a second by turns."""
    times, now = [], Fraction(0)
    while now < seconds:
        times.append(now)
        now += (Fraction(1, 40), Fraction(1, 20), Fraction(1, 12))[len(times) % 3]
    return times


def place(kind: str, second: float, across: float = 0.5) -> tuple[float, float, float, float]:
    """The box of the thing at a time, in pixels. It goes up and down, or left and right, once in two seconds."""
    swing = SWING * np.sin(np.pi * second)
    x, y = WIDTH * across - SIZE / 2, HEIGHT / 2 - SIZE / 2
    left, top = (x, y + swing) if kind == "striped" else (x + swing, y)
    return left, top, left + SIZE, top + SIZE


def pattern(kind: str) -> NDArray[np.uint8]:
    """(SIZE, SIZE, 3): stripes that lie, or dots."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    inside = rows // 6 % 2 == 0 if kind == "striped" else (rows // 8 + columns // 8) % 2 == 0
    light, dark = ((250, 240, 60), (20, 20, 90)) if kind == "striped" else ((240, 240, 240), (150, 20, 40))
    return np.where(inside[..., None], np.array(light), np.array(dark)).astype(np.uint8)


def picture(kind: str, second: float, across: float, seed: int) -> NDArray[np.uint8]:
    ground = gaussian_filter(np.random.default_rng(seed).normal(size=(HEIGHT, WIDTH, 3)), (4, 4, 0))
    frame = np.clip(120 + 250 * ground, 0, 255).astype(np.uint8)
    if kind != "empty":
        left, top, right, bottom = map(round, place(kind, second, across))
        frame[top:bottom, left:right] = pattern(kind)
    return frame


def write_moving(path: Path, kind: str, codec: str, times: Sequence[Fraction], across: float = 0.5,
                 seed: int = 0) -> Path:
    """kind: striped, dotted or empty. codec: libx264, mpeg4."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=24)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = WIDTH, HEIGHT, "yuv420p", 2_000_000
        stream.codec_context.time_base = stream.time_base = TICK
        for second in times:
            frame = av.VideoFrame.from_ndarray(picture(kind, float(second), across, seed))
            frame.pts, frame.time_base = round(second / TICK), TICK
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
