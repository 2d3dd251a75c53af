"""The tubelets found in one reference, in clips and shares, and as a person reads them: in seconds and pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stvr.structures import ClipSpec, Tubelet
from stvr.tubelets import to_pixels


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """The tubelets found in one reference, best first, and what is needed to say them in seconds and pixels.

    offset_seconds: of the first picture, on the container's clock. doubt: what is not as the file promises, or "".
    """

    path: Path
    clip: ClipSpec
    width: int
    height: int
    duration_seconds: float
    tubelets: Sequence[Tubelet]
    offset_seconds: float = 0.0
    doubt: str = ""

    def __iter__(self) -> Iterator[Tubelet]:
        return iter(self.tubelets)

    def __len__(self) -> int:
        return len(self.tubelets)

    def to_json(self) -> Iterator[dict[str, Any]]:
        """One object a tubelet: seconds, boxes in pixels of the picture as displayed, a score in [0, 1]."""
        offset = self.offset_seconds
        for rank, tubelet in enumerate(self.tubelets, 1):
            span, boxes = tubelet.span, to_pixels(tubelet.boxes, self.width, self.height)
            yield {
                "reference": str(self.path),
                "rank": rank,
                "score": round(tubelet.score, 6),
                "start_seconds": offset + self.clip.seconds_at(span.start),
                "stop_seconds": offset + min(self.clip.seconds_at(span.stop), self.duration_seconds),
                "width": self.width,
                "height": self.height,
                "boxes": [
                    {"seconds": offset + self.clip.seconds_at(clip), "box": [round(float(edge), 2) for edge in box]}
                    for clip, box in zip(range(span.start, span.stop), boxes, strict=True)
                ],
            }
