"""A video that we encode is there whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from stvr.video.decode import probe
from stvr.video.encode import write_video

SIDE = 32


def parts(count: int, breaks: bool) -> Iterator[NDArray[np.uint8]]:
    yield np.zeros((count, SIDE, SIDE, 3), np.uint8)
    if breaks:
        raise KeyboardInterrupt


def test_a_video_that_is_broken_off_is_not_there_and_the_next_try_makes_it(tmp_path):
    path = tmp_path / "video.mp4"
    with pytest.raises(KeyboardInterrupt):
        write_video(path, parts(12, breaks=True), 24, SIDE)
    assert not path.exists()
    write_video(path, parts(12, breaks=False), 24, SIDE)
    assert len(probe(path).ticks) == 12
    assert list(tmp_path.iterdir()) == [path]
