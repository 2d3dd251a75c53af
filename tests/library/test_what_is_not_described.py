"""Made videos through I3D as it comes: what stands still, is black or of one colour has no rows."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from stvr.backbones import load_backbone
from stvr.extract.job import extract
from stvr.library import Index, build_index
from stvr.structures import ClipSpec

BLOTCHES = np.clip(128 + 400 * gaussian_filter(np.random.default_rng(0).standard_normal((64, 64, 3)), (3, 3, 0),
                                               mode="wrap"), 0, 255).astype(np.uint8)  # fmt: skip


def moves(clips: int) -> list[np.ndarray]:
    return [np.roll(BLOTCHES, 2 * frame, 1) for frame in range(8 * clips)]


def indexed(folder: Path, pictures: Iterable[np.ndarray], image_size: int) -> Index:
    with av.open(str(folder / "film.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"crf": "10"})
        stream.width = stream.height = 64
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode(None))
    quiet = {"report": lambda step: None}
    extract([folder / "film.mp4"], folder / "store", load_backbone(), ClipSpec(image_size=image_size), **quiet)
    build_index([folder / "store"], folder / "index", composition="windows,flat", tell=print, **quiet)
    return Index.open(folder / "index")


def test_a_picture_that_stands_and_a_black_one_are_left_out(tmp_path):
    """Steps 5 to 11 and 13 to 19 change nothing; a clip stands still that has one of them within three clips."""
    index = indexed(tmp_path, [*moves(5), *[BLOTCHES] * 64, *[np.zeros_like(BLOTCHES)] * 64, *moves(5)], 64)
    assert (index.videos[0].num_clips, index.videos[0].still_clips) == (26, len(range(3, 23)))
    assert index.rows.start.tolist() == [0, 21]  # three of the six clips of [0, 6), three of the five of [21, 26)


@pytest.mark.slow
def test_a_picture_of_one_colour_that_flickers_is_left_out(tmp_path):
    """At 320 pixels: in smaller ones, cells see the border from everywhere."""
    colours = [np.full_like(BLOTCHES, int(127 + 127 * np.sin(frame / 5))) for frame in range(56)]
    index = indexed(tmp_path, [*moves(3), *colours, *moves(3)], 320)
    assert (index.videos[0].num_clips, index.videos[0].blank_clips, index.videos[0].still_clips) == (13, 7, 0)
    assert index.rows.start.tolist() == [0, 9]  # [0, 6) has three clips that are not blank, [9, 13) has three of four
