"""Real clips with boxes: a manifest, a JSON file of boxes for each, and what is true of them clip by clip."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stvr.store import FeatureStore
from stvr.structures import ClipSpec, Span, Tubelet

LEAST_SHARE = 0.5  # of the frames of a clip that must have a box
QUERY_CLIPS = 3  # a second, as `stvr locate` takes it


@dataclass(frozen=True, slots=True, eq=False)
class RealClip:
    """One video. group: its source or its actor; a query is never asked of its own. tubelets: what is true of it."""

    name: str
    path: Path
    kind: str
    label: str
    group: str
    num_clips: int
    tubelets: tuple[Tubelet, ...]

    def is_like(self, other: RealClip) -> bool:
        """Whether it shows the same, and comes from elsewhere."""
        return self.label == other.label and self.group != other.group

    @property
    def longest(self) -> Tubelet:
        return max(self.tubelets, key=lambda each: len(each.span))

    @property
    def example(self) -> Tubelet:
        """A second in the middle of its longest tubelet."""
        longest = self.longest
        start = longest.span.start + max(0, (len(longest.span) - QUERY_CLIPS) // 2)
        part = longest.within(Span(self.name, start, start + QUERY_CLIPS))
        assert part is not None
        return part


def manifest_rows(manifest: Path) -> list[dict[str, str]]:
    """Rows with file, set, class, group, boxes; files and boxes beside the manifest."""
    with manifest.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read_clips(manifest: Path, store: FeatureStore) -> list[RealClip]:
    """The videos of a manifest that the store has; those without a box in any clip are left out, and named."""
    found = []
    for row in manifest_rows(manifest):
        path = manifest.parent / row["file"]
        num_clips = store.num_clips(path.stem)
        boxes = json.loads((manifest.parent / row["boxes"]).read_text())
        tubelets = tuple(tubelets_of(boxes, path.stem, num_clips, store.spec.clip))
        if tubelets:
            found.append(RealClip(path.stem, path, row["set"], row["class"], row["group"], num_clips, tubelets))
        else:
            print(f"{path.stem} has no clip with a box, and is left out")
    return found


def tubelets_of(boxes: dict[str, Any], video: str, num_clips: int, clip: ClipSpec) -> Iterator[Tubelet]:
    """One for each tube and each run of clips in which most frames have a box; a clip's box is their mean."""
    size = torch.tensor([boxes["width"], boxes["height"]] * 2, dtype=torch.float64)
    for tube in boxes["tubes"]:
        shares = (torch.tensor(tube["boxes"], dtype=torch.float64) / size).clamp(0, 1)
        by_clip = [clip_box(shares, tube["sf"], boxes["fps"], number, clip) for number in range(num_clips)]
        yield from runs(by_clip, video)


def clip_box(shares: Tensor, first: int, fps: float, number: int, clip: ClipSpec) -> Tensor | None:
    times = [(number * clip.frames_per_clip + frame) / clip.fps for frame in range(clip.frames_per_clip)]
    places = [round(time * fps) - first for time in times]
    inside = [place for place in places if 0 <= place < len(shares)]
    return shares[inside].mean(0) if len(inside) >= LEAST_SHARE * clip.frames_per_clip else None


def runs(by_clip: Sequence[Tensor | None], video: str) -> Iterator[Tubelet]:
    start = 0
    for stop in range(len(by_clip) + 1):
        if stop == len(by_clip) or by_clip[stop] is None:
            boxes = [box for box in by_clip[start:stop] if box is not None]
            if boxes:
                yield Tubelet(Span(video, start, stop), torch.stack(boxes).float())
            start = stop + 1
