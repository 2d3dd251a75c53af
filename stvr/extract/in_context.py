"""Clips in the context of their video: which stretches of it a backbone is run along, and in which chunks.

Chunks lie on a fixed grid and a run begins early enough, so that a clip's features are computed from the same numbers
in the same shapes, and so have the same bits, whatever else of the video is computed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from stvr.backbones.context import Reach
from stvr.structures import ClipSpec
from stvr.video.cuts import CutFinder
from stvr.video.reading import Clip

T = TypeVar("T")
CHUNK_FRAMES = 32  # fewer cost more at 160 pixels and less, more at 320, where new memory is what costs
CLIPS_FOR_CUTS = 2  # that a cut is found by, before the clip that it begins

Push = Callable[[Sequence[Clip], bool], Sequence[T]]  # clips, whether they are a stretch's last -> those that are ready


class Chunk(NamedTuple):
    """Clips that go through the backbone together. ends: whether nothing is seen beyond them."""

    clips: tuple[Clip, ...]
    ends: bool


@dataclass(frozen=True, slots=True)
class Grid:
    """size: clips of a chunk. before, after: how many clips the features of a clip see, at most."""

    size: int
    before: int
    after: int

    @classmethod
    def of(cls, clip: ClipSpec, reach: Reach, chunk_frames: int = CHUNK_FRAMES) -> Grid:
        size, before, after = (-(-frames // clip.frames_per_clip) for frames in (chunk_frames, *reach))
        return cls(size, before, after)

    def start(self, clip: int) -> int:
        """The first clip of the chunk that a run along the video begins with, for the sake of `clip`.

        Some chunks before all that the clip sees: a run has the shapes of a longer one when every layer has steps.
        """
        return max((clip - self.before) // self.size - self.warms, 0) * self.size

    @property
    def warms(self) -> int:
        """Chunks from the beginning of a run until every layer has steps."""
        return -(-self.after // self.size)

    def reads_from(self, clip: int) -> int:
        """The first clip that must be decoded for the sake of `clip`."""
        return max(self.start(clip) - CLIPS_FOR_CUTS, 0)

    def needs(self, chunk: Chunk, wanted: Callable[[int], bool]) -> bool:
        """Whether a clip that is wanted needs this chunk."""
        begins = chunk.clips[0].number // self.size * self.size
        first, stop = max(begins - self.after, 0), begins + (self.warms + 1) * self.size + self.before
        return any(wanted(clip) for clip in range(first, stop))


def chunks(clips: Iterable[Clip], size: int, cuts: str) -> Iterator[Chunk]:
    """All clips: a new chunk begins at every multiple of `size` clips, and at cuts where these are kept."""
    finder = CutFinder() if cuts == "keep" else None
    waiting: list[Clip] = []
    for clip in clips:
        cut = finder is not None and finder(clip.frames)
        if waiting and (cut or clip.number % size == 0):
            yield Chunk(tuple(waiting), ends=cut)
            waiting = []
        waiting.append(clip)
    if waiting:
        yield Chunk(tuple(waiting), ends=True)


def in_context(
    chunks: Iterable[Chunk], grid: Grid, wanted: Callable[[int], bool], begin: Callable[[], Push[T]]
) -> Iterator[list[tuple[Clip, T]]]:
    """The clips that are wanted with what the backbone says of each, in order, some at a time.

    chunks: of `grid.size` clips. begin: starts a run along a new stretch. Holds as many clips as the backbone sees
    ahead.
    """
    push: Push[T] | None = None
    seen: deque[Clip] = deque()
    for chunk in chunks:
        if not grid.needs(chunk, wanted):
            push = None
            seen.clear()
            continue
        push = push or begin()
        seen.extend(chunk.clips)
        ready = [(seen.popleft(), features) for features in push(chunk.clips, chunk.ends)]
        if found := [(clip, features) for clip, features in ready if wanted(clip.number)]:
            yield found
        push = None if chunk.ends else push
