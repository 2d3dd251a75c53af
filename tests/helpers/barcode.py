"""Videos that carry the number of each frame as a bar code."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

SIDE, BITS = 64, 12  # pixels; bars of 16 x 16, three rows of four


def paint(number: int) -> NDArray[np.uint8]:
    """(64, 64, 3) uint8: each bit of `number` is a black or a white square."""
    bits = [255 * (number >> bit & 1) for bit in range(BITS)] + [0] * (16 - BITS)
    squares = np.array(bits, np.uint8).reshape(4, 4).repeat(SIDE // 4, 0).repeat(SIDE // 4, 1)
    return np.repeat(squares[:, :, None], 3, 2)


def number_in(picture: NDArray[np.uint8]) -> int:
    """Reads the bar code of a square picture of any size."""
    side = len(picture) // 4
    squares = picture[side // 2 :: side, side // 2 :: side].mean(-1) > 127
    return sum(int(bit) << index for index, bit in enumerate(squares.flat[:BITS]))


def write_video(
    path: Path,
    ticks: Sequence[int],
    time_base: Fraction,
    tail: int,
    *,
    codec: str = "libx264",
    first_number: int = 0,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Frame n shows the number n from ticks[n] on; the last one stays for `tail` ticks."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream: Any = container.add_stream(codec, rate=1 / ((ticks[1] - ticks[0]) * time_base))
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.options = options or {}
        stream.time_base = stream.codec_context.time_base = time_base
        for number, (tick, until) in enumerate(zip(ticks, [*ticks[1:], ticks[-1] + tail], strict=True), first_number):
            frame = av.VideoFrame.from_ndarray(paint(number))
            frame.pts, frame.time_base, frame.duration = tick, time_base, until - tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def nearest(times: Sequence[Fraction], duration: Fraction, fps: int) -> list[int]:
    """The rule word for word: at k/fps the frame with the least |time - k/fps| is on screen, on a tie the earlier."""
    instants = []
    while Fraction(len(instants), fps) < duration:
        instants.append(Fraction(len(instants), fps))
    return [min(range(len(times)), key=lambda index: (abs(times[index] - at), index)) for at in instants]
