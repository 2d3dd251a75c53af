"""How a decoded frame is shown: turned and mirrored as the file says, its pixels made square."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

STRANGEST = 10  # times that a pixel is wider than high, or higher than wide; beyond, a file's word is not taken


@dataclass(frozen=True, slots=True)
class Display:
    """coded_width, coded_height: pixels of a decoded frame. aspect: how many times wider than high a pixel is.

    transposed, then mirrored left to right (across) and upside down (down): what sets a decoded frame upright.
    """

    coded_width: int
    coded_height: int
    aspect: Fraction = Fraction(1)
    transposed: bool = False
    across: bool = False
    down: bool = False

    @classmethod
    def of(cls, frame: av.VideoFrame, aspect: Fraction | None) -> Display:
        """aspect: of the pixels, as the container or the codec says; None where neither does."""
        known = aspect if aspect and Fraction(1, STRANGEST) <= aspect <= STRANGEST else Fraction(1)
        return cls(frame.width, frame.height, known, *_turns(frame.side_data.get("DISPLAYMATRIX")))

    @property
    def square(self) -> tuple[int, int]:
        """Width and height of a decoded frame with square pixels, as browsers make them: nothing shrinks."""
        wider, higher = max(self.aspect, Fraction(1)), max(1 / self.aspect, Fraction(1))
        return round(self.coded_width * wider), round(self.coded_height * higher)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as displayed."""
        width, height = self.square
        return (height, width) if self.transposed else (width, height)

    def upright(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A view of a decoded picture (H, W, 3), of any size, set upright."""
        turned = picture.swapaxes(0, 1) if self.transposed else picture
        return turned[:: -1 if self.down else 1, :: -1 if self.across else 1]


def _turns(matrix: Any) -> tuple[bool, bool, bool]:
    """Transposed, across, down, of a display matrix; other angles than quarter turns are rounded to one.

    The matrix (3, 3), rows (a, b, u), (c, d, v), (x, y, w), shows the point (p, q) at (ap + cq + x, bp + dq + y), as
    ISO/IEC 14496-12 has it, and as ffmpeg's `-autorotate` reads it.
    """
    if matrix is None:
        return False, False, False
    (a, b), (c, d) = np.frombuffer(bytes(matrix), np.int32).reshape(3, 3)[:2, :2].tolist()
    return (True, c < 0, b < 0) if abs(b) > abs(a) else (False, a < 0, d < 0)
