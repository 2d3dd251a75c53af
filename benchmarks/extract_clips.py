"""The videos that bench_extract.py extracts, and their clips as the plain script and as `stvr extract` read them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from plain_extract import FRAMES, read_frames

from stvr.structures import ClipSpec
from stvr.video.decode import decode_clips

SIZE = 640, 480  # of the videos written here


def write_videos(folder: Path, seconds: int, count: int = 3) -> list[Path]:
    """Bright discs that cross a moving pattern of noise, H.264, 24 frames a second."""
    width, height = SIZE
    rows, columns = np.mgrid[:height, :width]
    for number in range(count):
        noise = np.random.default_rng(number).integers(40, 160, (height // 8, width // 8, 3), np.uint8)
        cloth = noise.repeat(8, 0).repeat(8, 1)
        with av.open(str(folder / f"made_{number}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=24)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for index in range(seconds * 24):
                place = (height // 2 - 60 * number, 40 + (8 + number) * index)
                disc = np.hypot(rows - place[0], columns - place[1]) < 50
                picture = np.where(disc[..., None], 230, np.roll(cloth, index, 1)).astype(np.uint8)
                frame = av.VideoFrame.from_ndarray(picture, "rgb24")
                frame.pts, frame.time_base = index, Fraction(1, 24)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return sorted(folder.iterdir())


def plain_clips(path: Path, size: int) -> Iterator[torch.Tensor]:
    """Clips as the plain script reads them, `size` at once: (B, F, S, S, 3) uint8."""
    frames = np.stack(list(read_frames(path)))
    whole = frames[: len(frames) // FRAMES * FRAMES].reshape(-1, FRAMES, *frames.shape[1:])
    yield from torch.from_numpy(whole).split(size)


def our_clips(path: Path, size: int) -> Iterator[torch.Tensor]:
    """Clips as `stvr extract` reads them, `size` at once."""
    waiting: list[np.ndarray] = []
    for _, frames, _ in decode_clips(path, ClipSpec()):
        waiting.append(frames)
        if len(waiting) == size:
            yield torch.from_numpy(np.stack(waiting))
            waiting = []
    if waiting:
        yield torch.from_numpy(np.stack(waiting))


def ahead(items: Iterator[torch.Tensor]) -> Iterator[torch.Tensor]:
    """The same items, the next two of them made ahead in a thread."""
    with ThreadPoolExecutor(1) as worker:
        waiting = [worker.submit(next, items, None) for _ in range(2)]
        while (item := waiting.pop(0).result()) is not None:
            waiting.append(worker.submit(next, items, None))
            yield item
