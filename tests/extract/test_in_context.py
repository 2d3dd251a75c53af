"""Whatever is wanted of a video, a clip in context is computed from the same numbers in the same shapes."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from stvr.backbones.context import Reach
from stvr.extract.in_context import Grid, chunks, in_context
from stvr.structures import ClipSpec
from stvr.video.reading import Clip

BEFORE, AFTER = 6, 7  # clips that the logits see: 44 and 55 frames
GRIDS = [Grid(8, BEFORE, AFTER), Grid(4, BEFORE, AFTER), Grid(1, BEFORE, AFTER)]


def film(*lengths: int, start: int = 0) -> list[Clip]:
    """Shots of so many clips, from clip `start` on: each a still picture of its own."""
    shots = [number for number, length in enumerate(lengths) for _ in range(length)]
    pictures = np.random.default_rng(0).integers(0, 256, (len(lengths), 8, 8, 3)).astype(np.uint8)
    return [Clip(number, pictures[shot][None].repeat(8, 0), np.arange(8), None)
            for number, shot in enumerate(shots)][start:]


class Sees:
    """A network whose feature of a clip is what it was computed from: clips in reach, each with its chunk's bounds.

    As a layer with padding does, it gives what it can as soon as it can. Chunks have other shapes until it can.
    """

    def __init__(self, pushed: list[int]) -> None:
        self.seen: list[tuple[int, int, bool, bool]] = []
        self.ready, self.pushed = 0, pushed

    def __call__(self, clips: Sequence[Clip], last: bool) -> list[tuple]:
        bounds = clips[0].number, clips[-1].number, len(self.seen) >= AFTER, last
        self.pushed += [clip.number for clip in clips]
        self.seen += [bounds] * len(clips)
        stop = len(self.seen) if last else max(len(self.seen) - AFTER, self.ready)
        found = [tuple(self.seen[max(clip - BEFORE, 0) : clip + AFTER + 1]) for clip in range(self.ready, stop)]
        self.ready = stop
        return found


def computed(clips: list[Clip], wanted: set[int], grid: Grid, cuts: str) -> tuple[dict[int, tuple], list[int]]:
    """Features of the clips that are wanted, and every clip that went through the network."""
    pushed: list[int] = []
    groups = in_context(chunks(clips, grid.size, cuts), grid, wanted.__contains__, lambda: Sees(pushed))
    found = {clip.number: features for group in groups for clip, features in group}
    assert list(found) == sorted(wanted)
    return found, pushed


def test_the_reach_of_the_deepest_map_in_clips():
    assert Grid.of(ClipSpec(), Reach(44, 47)) == Grid(4, 6, 6)
    assert Grid.of(ClipSpec(), Reach(44, 55)) == Grid(4, 6, 7)
    assert Grid.of(ClipSpec(frames_per_clip=16), Reach(44, 55)) == Grid(2, 3, 4)
    assert Grid.of(ClipSpec(frames_per_clip=4), Reach(16, 19)) == Grid(8, 4, 5)


def test_chunks_end_at_multiples_of_their_size_and_at_cuts():
    cut = [([clip.number for clip in chunk.clips], chunk.ends) for chunk in chunks(film(11, 9, 2, 3), 8, "keep")]
    assert cut == [
        ([0, 1, 2, 3, 4, 5, 6, 7], False), ([8, 9, 10], True), ([11, 12, 13, 14, 15], False), ([16, 17, 18, 19], True),
        ([20, 21], True), ([22, 23], False), ([24], True),
    ]  # fmt: skip
    ignored = [(chunk.clips[0].number, chunk.ends) for chunk in chunks(film(11, 9, 5), 8, "ignore")]
    assert ignored == [(0, False), (8, False), (16, False), (24, True)]


@pytest.mark.parametrize("lengths", [(90,), (21, 24, 3, 42), (16, 8, 66), (5, 85)])
@pytest.mark.parametrize("cuts", ["keep", "ignore"])
@pytest.mark.parametrize("grid", GRIDS)
def test_any_clips_alone_are_what_they_are_in_a_run_over_everything(lengths, grid, cuts):
    clips, chance = film(*lengths), random.Random(0)
    everything, pushed = computed(clips, set(range(90)), grid, cuts)
    assert pushed == list(range(90))  # nothing twice
    shards = [{clip for clip in range(90) if clip // 4 in chance.sample(range(23), 3)} for _ in range(20)]
    for wanted in [*({clip} for clip in range(90)), *shards]:
        start = grid.reads_from(min(wanted))
        found, pushed = computed(film(*lengths, start=start), wanted, grid, cuts)
        assert found == {clip: everything[clip] for clip in wanted}, wanted
        if len(wanted) == 1:
            assert len(pushed) <= BEFORE + 2 * AFTER + 1 + 3 * grid.size


def test_a_run_holds_no_more_clips_than_the_network_sees_ahead():
    waiting, most = set[int](), 0

    class Counts(Sees):
        def __call__(self, clips, last):
            nonlocal most
            waiting.update(clip.number for clip in clips)
            most = max(most, len(waiting))
            return super().__call__(clips, last)

    for group in in_context(chunks(film(200), 8, "keep"), GRIDS[0], lambda clip: True, lambda: Counts([])):
        waiting.difference_update(clip.number for clip, _ in group)
    assert most <= AFTER + GRIDS[0].size
