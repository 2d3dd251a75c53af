"""Where a session's features come from: a store, a video file, a live source."""

from __future__ import annotations

import sys
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from stvr.backbones import Backbone
from stvr.extract.flow import Flow
from stvr.extract.maps import Maps
from stvr.extract.ways import WAYS, InContext, Wanted, Way, stacked
from stvr.session.examples import Facts
from stvr.store import FeatureSpec, FeatureStore, as_maps
from stvr.store.region_boxes import boxes_if_any
from stvr.structures import Features, Span
from stvr.video.decode import VideoInfo
from stvr.video.reading import Clip, read_clips
from stvr.video_names import ByVideo


class Source(Protocol):
    """Clips of one video, in order."""

    @property
    def span(self) -> Span:
        """The clips that there are, or are said to be."""

    @property
    def key(self) -> Hashable:
        """Equal for equal features; None for what can be read only once."""

    def features(self, size: int) -> Iterator[Features]:
        """At most `size` clips at a time, on the CPU."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredClips:
    """A span of a video in a store. endpoints: the maps that are read; None for all. flow, boxes: whether they are."""

    store: FeatureStore
    span: Span
    flow: bool = False
    endpoints: tuple[str, ...] | None = None
    boxes: bool = False

    @property
    def key(self) -> Hashable:
        notes = self.store.info(self.span.video)
        return str(self.store), self.span, notes.get("digest"), self.flow, self.endpoints, self.boxes

    def features(self, size: int) -> Iterator[Features]:
        for start in range(self.span.start, self.span.stop, size):
            yield self._read(Span(self.span.video, start, min(start + size, self.span.stop)))

    def _read(self, span: Span) -> Features:
        flow = self.store.read_flow(span).float() if self.flow else None
        boxes = boxes_if_any(self.store, span) if self.boxes else None
        return Features(self.store.read_features(span, self.endpoints).maps, flow, boxes)


@dataclass(frozen=True, slots=True, eq=False)
class Eyes:
    """What turns clips of frames into features, as a spec says. flow: None where the head reads none."""

    backbone: Backbone
    spec: FeatureSpec
    flow: Flow | None = None

    def way(self, size: int) -> Way:
        """How the clips of a file become maps, as in a store."""
        return WAYS[self.spec.clip.context](self.backbone, self.spec, size)

    def live_way(self) -> Way:
        """The same for clips that come one by one, each answered as soon as it can be."""
        if self.spec.clip.context == "video":
            return InContext(self.backbone, self.spec, chunk_frames=self.spec.clip.frames_per_clip)
        return self.way(1)

    def see(self, clips: Iterator[Clip], span: Span, way: Way, size: int) -> Iterator[Features]:
        """Of a span of the clips, at most `size` at a time; fewer than the span says where the clips end early.

        Rounded to float16 on the way, as a store does, so that a file and its cached features give one answer.
        """
        wanted = Wanted.of(span)
        computed = way.compute(way.batches(clips, wanted, stops=True), wanted)
        single = ((clip, {name: maps[number] for name, maps in group.maps.items()})
                  for group in computed for number, clip in enumerate(group.clips))
        while batch := list(islice(single, size)):
            yield self._features([clip for clip, _ in batch], stacked([maps for _, maps in batch]))

    def _features(self, clips: Sequence[Clip], kept: Maps) -> Features:
        maps = {name: as_maps(each) for name, each in kept.items()}
        _, rows, columns, _ = maps[self.spec.finest.endpoint].shape
        return Features(maps, self._flow(clips, (rows, columns)))

    def _flow(self, clips: Sequence[Clip], grid: tuple[int, int]) -> torch.Tensor | None:
        if self.flow is None:
            return None
        return torch.from_numpy(np.stack([self.flow(clip.before, clip.frames, grid) for clip in clips])).float()


@dataclass(frozen=True, slots=True, eq=False)
class FileClips:
    """A span of a video file, decoded and seen when it is asked for."""

    info: VideoInfo
    span: Span
    eyes: Eyes

    @property
    def key(self) -> Hashable:
        path = self.info.path.resolve()
        now = path.stat()
        return str(path), now.st_mtime_ns, now.st_size, self.span

    def features(self, size: int) -> Iterator[Features]:
        """Fewer clips than the span says where the stream ends early."""
        way = self.eyes.way(size)
        clips = read_clips(self.info.path, self.eyes.spec, way.reads_from(self.span.start), self.info)
        yield from self.eyes.see(clips, self.span, way, size)


@dataclass(frozen=True, slots=True, eq=False)
class LiveClips:
    """Clips that come from elsewhere, frames (F, S, S, 3) uint8 RGB each: a camera's, say. They are seen one by one.

    In the context of a video, a clip is seen once all that it sees ahead has come, and one clip more: 7 at Mixed_5c.
    """

    name: str
    clips: Iterable[NDArray[np.uint8]]
    eyes: Eyes
    key: Hashable = None

    @property
    def span(self) -> Span:
        """Nobody knows how many there will be."""
        return Span(self.name, 0, 1)

    def features(self, size: int) -> Iterator[Features]:
        yield from self.eyes.see(self._numbered(), Span(self.name, 0, sys.maxsize), self.eyes.live_way(), 1)

    def _numbered(self) -> Iterator[Clip]:
        before: NDArray[np.uint8] | None = None
        for number, frames in enumerate(self.clips):
            yield Clip(number, frames, np.zeros(len(frames), np.int64), before)
            before = frames[-1]


@dataclass(frozen=True, slots=True, eq=False)
class StoredVideo:
    """A video of a store. path: what the user called it; the file need not be there any more. The rest: StoredClips."""

    path: Path
    name: str
    store: FeatureStore
    flow: bool = False
    endpoints: tuple[str, ...] | None = None
    boxes: bool = False

    @property
    def facts(self) -> Facts:
        notes = self.store.info(self.name)
        return Facts(self.path, self.name, notes["width"], notes["height"], notes["duration_seconds"],
                     self.store.num_clips(self.name), self.store.offset_seconds(self.name), notes.get("doubt", ""))

    def clips(self, span: Span) -> StoredClips:
        return StoredClips(self.store, span, self.flow, self.endpoints, self.boxes)


@dataclass(frozen=True, slots=True, eq=False)
class VideoFile:
    """A video that is decoded when it is looked at."""

    info: VideoInfo
    eyes: Eyes

    @property
    def facts(self) -> Facts:
        info = self.info
        return Facts(info.path, info.path.stem, info.width, info.height, float(info.duration),
                     info.count_clips(self.eyes.spec.clip), float(info.offset), info.doubt())

    def clips(self, span: Span) -> FileClips:
        return FileClips(self.info, span, self.eyes)


def stored_name(store: FeatureStore, reference: Path | str) -> str | None:
    """What a store calls a video that is named by its path or its name; None where it has none, or two may be meant."""
    path = Path(reference)
    if not path.is_file():
        return str(reference) if str(reference) in store else None
    if path.stem in store:
        return path.stem
    return ByVideo(dict.fromkeys(store.videos())).name(path.resolve())
