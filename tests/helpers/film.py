"""Videos of several shots."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from scipy.ndimage import gaussian_filter


def write_film(path: Path, *lengths: int) -> Path:
    """Shots of so many frames, 24 a second, 64 x 64: coloured blotches that move right by a pixel a frame."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"crf": "4"})
        stream.width = stream.height = 64
        for number, length in enumerate(lengths):
            noise = np.random.default_rng(number).standard_normal((64, 64, 3))
            picture = np.clip(128 + 400 * gaussian_filter(noise, (3, 3, 0), mode="wrap"), 0, 255).astype(np.uint8)
            for frame in range(length):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(picture, frame, 1))))
        container.mux(stream.encode(None))
    return path
