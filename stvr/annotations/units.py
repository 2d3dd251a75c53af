"""Whether boxes are what they should be: x1, y1, x2, y2 as shares of the picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Edges = NDArray[np.float64]  # (N, 4) x1, y1, x2, y2
Wrong = NDArray[np.bool_]

SLACK = 0.05  # of the picture: detectors and people's hands overshoot its border a little
FARTHEST = 1.0  # of the picture: nothing that was measured in pixels of it sticks out so far
LEAST_PIXELS = 2.0
LEAST_SHARE = 0.002  # where the picture's size is not known: two pixels of a thousand


def far_out(edges: Edges, in_pixels: bool = False) -> Wrong:
    """Which edges (N, 4) are no shares of the picture. in_pixels: they were pixels of a picture of known size."""
    return np.nan_to_num(np.abs(edges - 0.5), nan=np.inf) > 0.5 + (FARTHEST if in_pixels else SLACK)


def empty(edges: Edges) -> Wrong:
    """Which boxes (N,) cover nothing of the picture: without area, swapped, or outside it."""
    inside = np.nan_to_num(edges.clip(0, 1), nan=0.0)
    return (inside[:, 2:] <= inside[:, :2]).any(axis=1)


def other_units(edges: Edges, sizes: Edges | None = None) -> tuple[int, str] | None:
    """The first box that shows that all are in other units, and why; None where nothing shows it.

    sizes: (N, 2) width and height of the picture in pixels, where known.
    """
    sides = (edges[:, 2:] - edges[:, :2]) * (1 if sizes is None else sizes)
    longer, least = sides.max(axis=1), LEAST_SHARE if sizes is None else LEAST_PIXELS
    if len(edges) and np.median(longer) < least:
        first = int(np.flatnonzero(longer < least)[0])
        unit = "of the picture" if sizes is None else "pixels"
        return first, (f"the box is {sides[first, 0]:.3g} x {sides[first, 1]:.3g} {unit}, and most are so small: they "
                       "seem to be shares that were divided once more")
    out = far_out(edges).any(axis=1)
    if sizes is not None and 2 * out.sum() > len(edges):
        first = int(np.flatnonzero(out)[0])
        return first, (f"the box ({', '.join(f'{edge:.4g}' for edge in edges[first])}, as shares) sticks out of the "
                       "picture, and most do: they seem to be measured in a picture of another size")
    return None
