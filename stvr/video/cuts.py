"""Where a video is cut: the picture jumps between two frames, by far more than between the frames around them.

A fade is no cut, nor is a flash, which jumps twice; nor is what follows a cut within the length of a clip, a third of a
second. How often the rule is right on real videos: docs/extraction.md.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

CELLS = 8  # a side, of the pictures that are compared: finer ones tell motion less well from a cut
LEAST = 5.0  # levels of 255 that a cut changes the cells by, on average
TIMES = 2.5  # what a cut changes, over the most that any step around it does


class CutFinder:
    """Tells of each clip of a video, in order, whether a new shot begins with it.

    A clip that holds a cut belongs to the shot that has more of its frames; of two halves, to the first. A step is held
    against those up to a clip before it and half a clip after it, so the answer depends on two clips before this one;
    where they are not given, on those that are.
    """

    def __init__(self) -> None:
        self._clips: deque[NDArray[np.float32]] = deque(maxlen=3)

    def __call__(self, frames: NDArray[np.uint8]) -> bool:
        """frames (F, S, S, 3) of the next clip."""
        return self.of_cells(cells(frames))

    def of_cells(self, clip: NDArray[np.float32]) -> bool:
        """clip (F, 3, 8, 8), as `cells` gives it."""
        self._clips.append(clip)
        if len(self._clips) == 1:
            return False
        steps, length = changes(np.concatenate(self._clips)), len(clip)
        begins = len(steps) + 1 - length  # where this clip begins: steps[k - 1] leads to frame k
        return any(is_cut(steps, frame - 1, before=length, after=length // 2)
                   for frame in range(begins - length + length // 2, begins + length // 2))


def cells(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pictures (F, S, S, 3) -> the means of 8 x 8 cells (F, 3, 8, 8), in levels."""
    return F.adaptive_avg_pool2d(torch.from_numpy(frames).movedim(-1, 1).float(), CELLS).numpy()


def changes(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """From each of N pictures to the next: the mean absolute difference, (N - 1,)."""
    return np.abs(np.diff(pictures, axis=0)).mean((1, 2, 3))


def is_cut(steps: NDArray[np.float32], at: int, before: int, after: int) -> bool:
    """Whether step `at` stands out among the `before` steps before it and the `after` ones after it.

    A video of few frames a second shows each several times: the steps between equal frames are 0, so the largest step
    around is what counts, not the nearest or the mean.
    """
    around = np.concatenate([steps[max(at - before, 0) : at], steps[at + 1 : at + 1 + after]])
    return bool(steps[at] >= max(LEAST, TIMES * around.max(initial=0.0)))
