"""Promises of the times of frames: a video's own stamps where it is at hand, a constant rate where not."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from stamped import write_stamped

from stvr.video.frame_times import FrameTimes, read_frame_times

# 30 pictures in the first second, then 5 a second for two seconds: written so, and so they must be found
MIXED = [Fraction(frame, 30) for frame in range(30)] + [1 + Fraction(frame, 5) for frame in range(10)]


def test_a_videos_own_stamps_say_when_its_frames_are_shown(tmp_path: Path):
    times, size = read_frame_times(write_stamped(tmp_path / "a.mp4", MIXED))
    assert size == (96, 64)
    np.testing.assert_allclose(times.seconds(range(40)), np.array(MIXED, float), atol=1e-9)
    assert times.seconds(30) == pytest.approx(1.0)  # at the mean rate it would be 2.25 s


def test_beyond_the_last_frame_the_rate_goes_on():
    times = FrameTimes(10.0, np.array([0.0, 0.5, 0.6]))
    assert times.seconds([1, 2, 3, 12]).tolist() == pytest.approx([0.5, 0.6, 0.7, 1.6])


def test_without_a_video_the_rate_is_constant():
    times = FrameTimes(25.0)
    assert times.constant
    assert times.seconds([0, 25, 30]).tolist() == [0, 1, 1.2]


@pytest.mark.parametrize("times", [FrameTimes(5.0), FrameTimes(5.0, np.array([0.0, 0.1, 2.0, 2.1, 2.3]))])
@pytest.mark.parametrize(("start", "stop"), [(0, 0.05), (0, 1), (0.5, 1), (1.9, 2.2), (2.2, 9), (7, 8)])
def test_no_frame_that_is_on_screen_is_missed(times: FrameTimes, start: float, stop: float):
    there = 200 if times.constant else 4
    shown = {frame for frame in range(there) if times.seconds(frame) < stop and times.seconds(frame + 1) > start}
    found = set(times.frames_between(start, stop))
    assert shown <= found <= set(range(there))
    assert len(found) <= len(shown) + 3
