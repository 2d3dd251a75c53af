"""Videos whose pictures are shown when a test says."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

TICK = Fraction(1, 1200)  # seconds: a whole number of them at 3, 5, 10, 24, 25 and 30 pictures a second


def write_stamped(path: Path, seconds: Sequence[Fraction | float]) -> Path:
    """A grey picture of 96 x 64 at each of the times, which are multiples of TICK."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height = 96, 64
        stream.codec_context.time_base = stream.time_base = TICK
        for number, second in enumerate(seconds):
            frame = av.VideoFrame.from_ndarray(np.full((64, 96, 3), number % 200, np.uint8))
            frame.pts, frame.time_base = round(second / TICK), TICK
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
