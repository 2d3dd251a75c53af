"""Pictures as players show them: turned, mirrored, with square pixels."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from av.filter import Graph
from oddities import set_matrix, write_plain

from stvr.render.video import render_tubelets
from stvr.structures import ClipSpec
from stvr.video.decode import decode_clips, probe
from stvr.video.pictures import frame_at

# what ffmpeg inserts for each display matrix: configure_input_video_filter in its fftools/ffmpeg_filter.c
FILTERS = {
    (1, 0, 0, 1): [],
    (-1, 0, 0, 1): [("hflip", "")],
    (1, 0, 0, -1): [("vflip", "")],
    (-1, 0, 0, -1): [("hflip", ""), ("vflip", "")],
    (0, 1, -1, 0): [("transpose", "clock")],
    (0, -1, 1, 0): [("transpose", "cclock")],
    (0, 1, 1, 0): [("transpose", "cclock_flip")],
    (0, -1, -1, 0): [("transpose", "clock_flip")],
}


def filtered(frame: av.VideoFrame, filters: list[tuple[str, str]]) -> np.ndarray:
    graph = Graph()
    last = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 24))
    for name, argument in filters:
        step = graph.add(name, argument)
        last.link_to(step)
        last = step
    last.link_to(graph.add("buffersink"))
    graph.configure()
    graph.push(frame)
    return graph.pull().to_ndarray(format="rgb24")


@pytest.mark.parametrize("matrix", FILTERS)
def test_a_display_matrix_is_obeyed_as_ffmpeg_obeys_it(tmp_path, matrix):
    path = write_plain(tmp_path / "video.mp4", 8, size=(96, 64))
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    frame.pts = 0
    expected = filtered(frame.reformat(format="rgb24"), FILTERS[matrix])
    set_matrix(path, *matrix)
    info = probe(path)
    assert (info.height, info.width) == expected.shape[:2]
    assert np.abs(frame_at(path, 0.0).astype(int) - expected).mean() < 1
    _, frames, _ = next(decode_clips(path, ClipSpec(image_size=32)))
    cells = expected.reshape(8, info.height // 8, 8, info.width // 8, 3).mean((1, 3))
    seen = frames[0].reshape(8, 4, 8, 4, 3).mean((1, 3))
    assert np.abs(seen - cells).mean() < 6  # 40 and more when shown any other way


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize(
    ("aspect", "size"),
    [(Fraction(2), (192, 64)), (Fraction(1, 2), (96, 128)), (Fraction(4, 3), (128, 64)), (None, (96, 64))],
)
def test_pixels_that_are_not_square_are_shown_square(tmp_path, suffix, aspect, size):
    path = write_plain(tmp_path / f"video{suffix}", 8, aspect, (96, 64))
    info = probe(path)
    assert (info.width, info.height) == size
    assert (info.display.coded_width, info.display.coded_height) == (96, 64)
    assert frame_at(path, 0.0).shape == (size[1], size[0], 3)


def test_a_turned_video_of_wide_pixels_is_high(tmp_path):
    path = set_matrix(write_plain(tmp_path / "video.mp4", 8, Fraction(2), (96, 64)), 0, 1, -1, 0)
    assert (probe(path).width, probe(path).height) == (64, 192)
    assert frame_at(path, 0.0).shape == (192, 64, 3)


def test_a_rendered_video_keeps_the_ratio(tmp_path):
    path = write_plain(tmp_path / "video.mp4", 8, Fraction(2), (96, 64))
    with av.open(str(render_tubelets(path, [], tmp_path / "out.mp4", ClipSpec()))) as container:
        frame = next(container.decode(video=0))
        assert (container.streams.video[0].sample_aspect_ratio or 1) == 1
    assert frame.width == 192
    assert frame.height > 64  # the bar of time is below
    shown, drawn = frame_at(path, 0.0), frame.to_ndarray(format="rgb24")[:64]
    assert np.abs(shown.astype(int) - drawn).mean() < 8
