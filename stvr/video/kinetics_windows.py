"""Windows of a video as Carreira and Zisserman 2017 show them to I3D: 64 frames at 25 a second, the middle square."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import center_crop, resize

from stvr.video.clips import count_instants, on_screen
from stvr.video.decode import VideoInfo
from stvr.video.pictures import Picture, frames, upright

FRAMES, RATE, SHORTER_SIDE, SIDE = 64, 25, 256, 224


def window_starts(count: int, most: int | None = None) -> list[int]:
    """Where windows of FRAMES begin in `count` frames: as many as fit side by side, in the middle; one at least.

    most: take so many of them, spread evenly.
    """
    fitting = max(1, count // FRAMES)
    first = max(0, count - fitting * FRAMES) // 2
    number = min(most or fitting, fitting)
    return [first + FRAMES * ((fitting + 2 * k * fitting) // (2 * number)) for k in range(number)]


def count_frames(info: VideoInfo) -> int:
    """How many frames a video has at RATE a second."""
    return count_instants(int(info.ticks[-1]) + info.tail, info.time_base, RATE)


def windows(info: VideoInfo, starts: Sequence[int]) -> Iterator[Tensor]:
    """The windows that begin at these frames, in order: (T, SIDE, SIDE, 3) uint8 each, T at most FRAMES.

    Fewer of them, or a shorter last one, where the video ends early.
    """
    shown = (frame for _, frame, count in on_screen(frames(info), info.tail, info.time_base, RATE)
             for _ in range(count))
    position = 0
    for start in starts:
        deque(islice(shown, start - position), maxlen=0)  # passed over
        pictures = [cropped(upright(frame, info)) for frame in islice(shown, FRAMES)]
        if not pictures:
            return
        yield torch.stack(pictures)
        position = start + FRAMES


def cropped(picture: Picture) -> Tensor:
    """(H, W, 3) uint8 of any size -> the middle (SIDE, SIDE, 3) of it, its shorter side brought to SHORTER_SIDE."""
    pixels = torch.from_numpy(picture).movedim(-1, 0)
    return center_crop(resize(pixels, [SHORTER_SIDE], antialias=True), [SIDE]).movedim(0, -1)
