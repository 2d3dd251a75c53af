"""A cut is found where one shot ends and another begins, and nowhere else."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from stvr.structures import ClipSpec
from stvr.video.cuts import CutFinder
from stvr.video.decode import decode_clips

SIDE = 32


def shot(number: int, frames: int, speed: int = 1) -> NDArray[np.uint8]:
    """A picture of blotches, another one for each number, that moves by `speed` pixels a frame: (F, 32, 32, 3)."""
    chance = np.random.default_rng(number)
    blotches = chance.integers(0, 256, (8, 8, 3)).astype(np.uint8).repeat(4, 0).repeat(4, 1)
    return np.stack([np.roll(blotches, speed * frame, 1) for frame in range(frames)])


def begins(frames: NDArray[np.uint8], size: int = 8) -> list[int]:
    """The clips that a new shot begins with."""
    finder = CutFinder()
    return [clip for clip in range(len(frames) // size) if finder(frames[clip * size : (clip + 1) * size])]


# A clip of 8 frames belongs to the shot that has more of them; of two halves, to the first.
@pytest.mark.parametrize(("frame", "clip"), [
    (24, 3), (25, 3), (27, 3), (28, 4), (29, 4), (31, 4), (32, 4), (16, 2), (20, 3), (8, 1), (9, 1), (6, 1), (4, 1),
])
def test_a_shot_begins_with_the_clip_that_has_more_of_its_frames(frame, clip):
    assert begins(np.concatenate([shot(1, frame), shot(2, 64 - frame)])) == [clip]


@pytest.mark.parametrize(("size", "frame", "clip"), [(4, 24, 6), (4, 26, 7), (4, 25, 6), (16, 24, 2), (16, 20, 1)])
def test_clips_of_other_lengths(size, frame, clip):
    assert begins(np.concatenate([shot(1, frame), shot(2, 64 - frame)]), size) == [clip]


def test_every_one_of_several_cuts_is_found():
    shots = [shot(number, frames) for number, frames in enumerate((17, 22, 31, 26))]  # cuts at 17, 39 and 70
    assert begins(np.concatenate(shots)) == [2, 5, 9]


def test_what_was_decoded_before_two_clips_ago_does_not_matter():
    """So a run that begins in the middle of a video finds the cuts of one that began at its start."""
    video = np.concatenate([shot(1, 27), shot(2, 20), shot(3, 30), shot(4, 43)])
    everywhere = begins(video)
    assert len(everywhere) == 3
    for start in range(10):
        later = [clip + start for clip in begins(video[8 * start :]) if clip >= 2]
        assert later == [clip for clip in everywhere if clip >= start + 2]


@pytest.mark.parametrize("length", [1, 2, 4])
@pytest.mark.parametrize("at", [21, 24, 27, 28])
def test_a_flash_is_no_cut(length, at):
    video = shot(1, 64)
    video[at : at + length] = 255
    assert begins(video) == []


@pytest.mark.parametrize("shown", [2, 4])  # 12 and 6 frames a second, each shown several times
@pytest.mark.parametrize("start", range(4))
def test_repeated_frames_with_motion_between_them_are_no_cuts(shown, start):
    assert begins(shot(1, 32, speed=5).repeat(shown, 0)[start:]) == []


@pytest.mark.parametrize("shown", [2, 4])
def test_a_cut_between_repeated_frames_is_found(shown):
    video = np.concatenate([shot(1, 24 // shown), shot(2, 40 // shown)]).repeat(shown, 0)
    assert begins(video) == [3]


def test_a_fade_is_no_cut():
    share = np.clip((np.arange(64) - 20) / 24, 0, 1)[:, None, None, None]  # a second, from frame 20 on
    assert begins((shot(1, 64) * (1 - share) + shot(2, 64) * share).astype(np.uint8)) == []


def test_a_still_picture_and_black_have_no_cuts():
    assert begins(shot(1, 64, speed=0)) == []
    assert begins(np.zeros((64, SIDE, SIDE, 3), np.uint8)) == []


@pytest.fixture(scope="module")
def real(shared: Path) -> list[NDArray[np.uint8]]:
    """The seven clips of UCF101-24, one take each, (F, 64, 64, 3)."""
    return [np.concatenate([frames for _, frames, _ in decode_clips(path, ClipSpec(image_size=64))])
            for path in sorted((shared / "data/videos/ucf101-24").glob("*.mp4"))]


def test_real_takes_have_no_cuts_inside_and_one_where_two_are_joined(real):
    assert [begins(video) for video in real] == [[]] * 7
    for one, other in permutations(real, 2):
        assert begins(np.concatenate([one[-29:], other[:35]])) == [4]  # 29 = 3 clips and 5 frames
