"""Real clips with boxes: a manifest, a JSON file of boxes for each, and what is true of them clip by clip."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stvr.extract.job import ExtractReport
from stvr.store import FeatureStore
from stvr.structures import ClipSpec, Span, Tubelet

COLUMNS = ("file", "set", "class", "group", "boxes")
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
        rows = csv.DictReader(file)
        if lacking := [name for name in COLUMNS if name not in (rows.fieldnames or ())]:
            raise ValueError(f"{manifest} has no column {', '.join(lacking)}; it needs {', '.join(COLUMNS)}.")
        return list(rows)


def tell_failed(made: ExtractReport) -> None:
    """Why videos did not get into a store, a line each on standard error."""
    for name, reason in made.failed.items():
        print(f"{name} is left out: {reason}", file=sys.stderr)


def read_clips(manifest: Path, *stores: FeatureStore) -> list[RealClip]:
    """The videos of a manifest that every store has and that have a box in some clip.

    The others are left out, each named on standard error, and counted. LookupError where none is left.
    """
    rows, found = manifest_rows(manifest), list[RealClip]()
    for number, row in enumerate(rows, 2):
        try:
            found.append(read_clip(manifest.parent, row, stores))
        except (LookupError, OSError, ValueError) as error:
            print(f"{manifest.name}, line {number}: {row.get('file')} is left out: {error}", file=sys.stderr)
    if not found:
        raise LookupError(f"none of the {len(rows)} clips of {manifest} can be asked. Mend what is said of each above.")
    if len(found) < len(rows):
        print(f"{len(rows) - len(found)} of {len(rows)} clips of {manifest} are left out", file=sys.stderr)
    return found


def read_clip(folder: Path, row: dict[str, str], stores: Sequence[FeatureStore]) -> RealClip:
    """LookupError, OSError or ValueError where it cannot be asked."""
    path = folder / row["file"]
    for store in stores:
        if path.stem not in store:
            raise LookupError(f"{store} does not have it.")
    num_clips = stores[0].num_clips(path.stem)
    tubelets = tuple(tubelets_of(read_boxes(folder, row["boxes"]), path.stem, num_clips, stores[0].spec.clip))
    if not tubelets:
        raise LookupError(f"{row['boxes']} has a box in no clip of it.")
    return RealClip(path.stem, path, row["set"], row["class"], row["group"], num_clips, tubelets)


def read_boxes(folder: Path, name: str | None) -> dict[str, Any]:
    """What a file says, with width, height, fps and tubes; tubes without a box aside."""
    if not name or not (folder / name).is_file():
        raise FileNotFoundError(f"there is no file of boxes {name or '(none is named)'}.")
    try:
        boxes = json.loads((folder / name).read_text())
        return {**{each: boxes[each] for each in ("width", "height", "fps")},
                "tubes": [{"sf": tube["sf"], "boxes": tube["boxes"]} for tube in boxes["tubes"] if tube["boxes"]]}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{name} is no JSON with width, height, fps and tubes of sf and boxes: {error}.") from None


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
