"""Answers that become examples: what a user says of them, and those that find the query when they are asked back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from stvr.library.index import Index
from stvr.structures import Span, Tubelet

EXAMPLE_CLIPS = 3  # of an answer, from its middle: a second, as a query has
BEST = 3  # answers that are asked back


def middle_of(tubelet: Tubelet) -> Tubelet:
    """EXAMPLE_CLIPS in the middle of a tubelet, or all of a shorter one."""
    span = tubelet.span
    start = span.start + max(0, (len(span) - EXAMPLE_CLIPS) // 2)
    part = tubelet.within(Span(span.video, start, start + EXAMPLE_CLIPS))
    assert part is not None
    return part


def finds_back(index: Index, answer: Tensor, asked: Tensor, left_out: Sequence[str]) -> bool:
    """Whether an answer, a vector (D,), asked of the index and the query (E, D), finds the query before all else.

    left_out: the videos of the answer and of the query, where each finds itself.
    """
    own = [number for number, video in enumerate(index.videos) if video.name in left_out]
    cosines = (index.scores(answer) + index.rows.bias)[~np.isin(index.rows.video, own)]
    return float((asked @ answer).max()) > max(cosines.tolist(), default=-1.0)
