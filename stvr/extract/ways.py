"""How the clips of a video become maps: each by itself, or in the context of the video. The menu is WAYS."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from stvr.extract.in_context import CHUNK_FRAMES, Chunk, Grid, chunks, in_context
from stvr.extract.maps import Backbone, Maps, along, maps_by_endpoint, runs_on_gpu, stream_of
from stvr.structures import FeatureSpec, Span
from stvr.video.reading import Clip, as_fed


class Computed(NamedTuple):
    """Some clips in order, and their maps as a store keeps them, (N, row, column, time, channel) by endpoint.

    flipped: those of the mirrored frames, where the spec says so.
    """

    clips: Sequence[Clip]
    maps: Maps
    flipped: Maps | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """The clips of some shards, counted from clip `start` on: those that are missing in a store, or a span alone."""

    shards: frozenset[int]
    clips_per_shard: int
    start: int = 0

    @classmethod
    def of(cls, span: Span) -> Wanted:
        return cls(frozenset({0}), len(span), span.start)

    def __call__(self, clip: int) -> bool:
        return (clip - self.start) // self.clips_per_shard in self.shards

    @property
    def stop(self) -> int:
        """One more than the last."""
        return self.start + (max(self.shards, default=-1) + 1) * self.clips_per_shard

    def begins_batch(self, clip: int, size: int) -> bool:
        """Whether batches of `size` clips that begin anew at each shard have one that begins with this clip."""
        return (clip - self.start) % self.clips_per_shard % size == 0


class Way(Protocol):
    """Two steps, so that the first can run beside the second, in a thread that decodes."""

    def reads_from(self, clip: int) -> int:
        """The first clip that must be decoded for the sake of `clip`."""

    def batches(self, clips: Iterator[Clip], wanted: Wanted, stops: bool) -> Generator[Any, None, None]:
        """What goes through the backbone together. stops: not to read on once nothing is wanted any more."""

    def compute(self, batches: Iterable[Any], wanted: Wanted) -> Iterator[Computed]:
        """The clips that are wanted."""


class ByThemselves:
    """Batches of up to `batch_size` clips; a new one begins at each shard, so that they are cut alike after a kill.

    On a GPU a smaller one is filled up with black clips: its kernels are chosen, or compiled, for each size anew.
    """

    def __init__(self, backbone: Backbone, spec: FeatureSpec, batch_size: int) -> None:
        self.backbone, self.spec, self.batch_size = backbone, spec, batch_size
        self.one_size = runs_on_gpu(backbone)

    def reads_from(self, clip: int) -> int:
        return clip

    def batches(self, clips: Iterator[Clip], wanted: Wanted, stops: bool) -> Generator[Sequence[Clip], None, None]:
        waiting: list[Clip] = []
        for clip in clips:
            if wanted(clip.number):
                waiting.append(clip)
            if waiting and wanted.begins_batch(clip.number + 1, self.batch_size):
                yield waiting
                waiting = []
            if stops and clip.number + 1 >= wanted.stop:
                return
        if waiting:
            yield waiting

    def compute(self, batches: Iterable[Sequence[Clip]], wanted: Wanted) -> Iterator[Computed]:
        for clips in batches:
            yield Computed(clips, self._maps(clips), self._maps(clips, flipped=True) if self.spec.flipped else None)

    def _maps(self, clips: Sequence[Clip], flipped: bool = False) -> Maps:
        frames = as_fed(np.stack([clip.frames for clip in clips]), self.spec, flipped)
        if self.one_size and len(clips) < self.batch_size:
            frames = torch.cat([frames, frames.new_zeros(self.batch_size - len(clips), *frames.shape[1:])])
        return {name: maps[: len(clips)] for name, maps in maps_by_endpoint(self.backbone, frames).items()}


class InContext:
    """Chunks of a fixed size, whatever `batch_size` is: every clip's bits depend on the video alone.

    chunk_frames: fewer, for a source that is live, give answers sooner and other last bits.
    """

    def __init__(
        self, backbone: Backbone, spec: FeatureSpec, batch_size: int = 0, chunk_frames: int = CHUNK_FRAMES
    ) -> None:
        self.backbone, self.spec = backbone, spec
        self.grid = Grid.of(spec.clip, stream_of(backbone, spec.clip).reach, chunk_frames)

    def reads_from(self, clip: int) -> int:
        return self.grid.reads_from(clip)

    def batches(self, clips: Iterator[Clip], wanted: Wanted, stops: bool) -> Generator[Chunk, None, None]:
        cut = chunks(clips, self.grid.size, self.spec.clip.cuts)
        last = wanted.stop + self.grid.after
        yield from takewhile(lambda chunk: chunk.clips[0].number < last, cut) if stops else cut

    def compute(self, batches: Iterable[Chunk], wanted: Wanted) -> Iterator[Computed]:
        for ready in in_context(batches, self.grid, wanted, self._begin):
            clips, maps = zip(*ready, strict=True)
            own, *mirrored = map(stacked, zip(*maps, strict=True))
            yield Computed(clips, own, mirrored[0] if mirrored else None)

    def _begin(self) -> Callable[[Sequence[Clip], bool], list[tuple[Maps, ...]]]:
        """A run along the frames, and beside it one along the mirrored frames where the spec says so."""
        runs = [along(self.backbone, self.spec, flipped) for flipped in (False, True)[: 1 + self.spec.flipped]]
        return lambda clips, last: list(zip(*(run(clips, last) for run in runs), strict=True))


def stacked(clips: Sequence[Maps]) -> Maps:
    """Maps of one clip each -> maps (N, ...)."""
    return {name: torch.stack([maps[name] for maps in clips]) for name in clips[0]}


WAYS: dict[str, Callable[[Backbone, FeatureSpec, int], Way]] = {"clip": ByThemselves, "video": InContext}
