"""How often what a library does not hold would score as high: a query's own scores over the library say it."""

from __future__ import annotations

from math import expm1, log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stvr.library.index import Rows

LEAST_VIDEOS = 20  # with fewer the quartiles say little
QUARTILES = (0.25, 0.75)
LEAST_SCALE = 1e-6


class Background(NamedTuple):
    """What the best row of a video scores that does not show what is asked for: a Gumbel distribution.

    It is the one of the highest of many. num_videos: are asked, so that the best of them all is higher still.
    """

    middle: float
    scale: float
    num_videos: int

    @classmethod
    def of(cls, best: NDArray[np.float32]) -> Background | None:
        """From the best score (V,) of each video, -inf for one without rows; None where they are too few.

        Read off the quartiles alone: up to a quarter of the videos may show what is asked for.
        """
        best = best[np.isfinite(best)]
        if len(best) < LEAST_VIDEOS:
            return None
        low, high = np.quantile(best.astype(np.float64), QUARTILES)
        from_low, from_high = (-log(-log(share)) for share in QUARTILES)
        scale = max(float(high - low) / (from_high - from_low), LEAST_SCALE)
        return cls(float(low) - scale * from_low, scale, len(best))

    def false_alarm(self, score: float) -> float:
        """How often the best of all videos would score as high, did none of them show it: in [0, 1]."""
        exponent = min((self.middle - score) / self.scale, 700.0)
        return -expm1(-self.num_videos * float(np.exp(exponent)))


def best_by_video(rows: Rows, scores: NDArray[np.float32], num_videos: int) -> NDArray[np.float32]:
    """The best of the rows' scores (N,) in each video, (V,); -inf where there is none."""
    best = np.full(num_videos, -np.inf, np.float32)
    np.maximum.at(best, rows.video, scores)
    return best
