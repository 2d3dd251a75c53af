"""Which time steps of a stretch of video stand for it: one of each of so many equal parts, as TSN takes frames."""

from __future__ import annotations

import numpy as np


def middle_steps(count: int, segments: int) -> list[int]:
    """The steps of `count` in the middle of each part: always the same, for evaluation.

    As the programs of TSN and TRN count; where there are no more steps than segments, they take the first one alone,
    and this repeats some evenly.
    """
    return [(count + 2 * k * count) // (2 * segments) for k in range(segments)]


def random_steps(count: int, segments: int, random: np.random.Generator) -> list[int]:
    """One step drawn from each part, for training; those of `middle_steps` where there are fewer steps than parts."""
    length = count // segments
    if not length:
        return middle_steps(count, segments)
    return [k * length + int(random.integers(length)) for k in range(segments)]
