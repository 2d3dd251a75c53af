"""A still is the frame on screen at a time, however one came there; a box goes with what it was drawn around."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from moving import HEIGHT, WIDTH, even, picture, place, uneven, write_moving

from stvr.studio.stills import Film, Stills
from stvr.studio.tracking import follow, track_box
from stvr.video.pictures import frame_at


def share(box):
    return np.array(box) / (WIDTH, HEIGHT, WIDTH, HEIGHT)


@pytest.mark.parametrize(("codec", "times"), [("libx264", even(3)), ("mpeg4", even(3)), ("libx264", uneven(3))])
def test_whatever_the_order_each_frame_is_the_one_that_was_written(tmp_path, codec, times):
    """The thing moves, so that each frame differs from its neighbours; lossy codecs stay within a few levels."""
    film = Film(write_moving(tmp_path / "film.mp4", "striped", codec, times, 0.4, seed=7))
    order = list(range(len(times)))
    random.Random(3).shuffle(order)
    for index in [*order[:12], 0, 1, 2, len(times) - 1]:
        at = float(times[index])
        found = film.picture(film.index_at(at)).astype(float)
        written = picture("striped", at, 0.4, 7).astype(float)
        assert np.abs(found - written).mean() < 8
        assert film.edges[film.index_at(at)] == pytest.approx(at, abs=1e-6)


def test_the_frame_on_screen_is_the_last_that_has_begun(tmp_path):
    film = Film(write_moving(tmp_path / "film.mp4", "dotted", "libx264", uneven(1)))
    times = [float(each) for each in uneven(1)]
    for at in np.linspace(0, 0.99, 37):
        begun = [each for each in times if each <= at + 1e-6]
        assert film.edges[film.index_at(float(at))] == pytest.approx(begun[-1], abs=1e-6)
    assert film.index_at(0.0, -5) == 0
    assert film.index_at(-3.0) == 0
    assert film.index_at(0.0, 10**6) == len(times) - 1
    assert film.index_at(times[3], 2) == 5
    assert film.index_at(times[3], -2) == 1


def test_jpegs_are_kept_up_to_a_number_of_bytes(tmp_path):
    path = write_moving(tmp_path / "film.mp4", "dotted", "libx264", even(1))
    stills = Stills(kept_bytes=20_000)
    for number in range(24):
        still = stills.still(path, number / 24, height=90)
        assert still.jpeg.startswith(b"\xff\xd8")
        assert still.seconds == pytest.approx(number / 24)
        assert still.until == pytest.approx((number + 1) / 24)
    assert 0 < stills._bytes <= 20_000


@pytest.mark.parametrize("kind", ["striped", "dotted"])
def test_a_box_follows_what_it_was_drawn_around(tmp_path, kind):
    film = Film(write_moving(tmp_path / "film.mp4", kind, "libx264", even(3), 0.5, seed=9))
    track = track_box(film, 1.0, tuple(share(place(kind, 1.0))))
    assert track.followed
    assert track.places[0][0] == pytest.approx(0.5)
    assert track.places[-1][0] == pytest.approx(1.5, abs=0.1)
    for at, box in track.places:
        assert np.abs(np.array(box) - share(place(kind, at))).max() < 0.015  # two pixels


def test_what_is_lost_stands_still_and_is_said():
    torch.manual_seed(0)
    there, gone = torch.rand(40, 60), torch.zeros(40, 60)
    boxes, followed = follow([gone, there, there, gone], 1, (0.25, 0.25, 0.5, 0.75))
    assert not followed
    assert boxes == [(0.25, 0.25, 0.5, 0.75)] * 4


def test_what_moves_by_whole_pixels_is_found_to_the_pixel():
    torch.manual_seed(1)
    ground = torch.rand(40, 64)
    pictures = [ground.roll((down, 2 * down), (0, 1)) for down in range(4)]
    boxes, followed = follow(pictures, 0, (8 / 64, 10 / 40, 24 / 64, 26 / 40))
    assert followed
    for down, box in enumerate(boxes):
        assert np.allclose(box, ((8 + 2 * down) / 64, (10 + down) / 40, (24 + 2 * down) / 64, (26 + down) / 40))


def test_a_second_at_the_end_of_a_video_is_cut_short(tmp_path):
    film = Film(write_moving(tmp_path / "film.mp4", "striped", "libx264", even(1.25)))
    track = track_box(film, 1.2, tuple(share(place("striped", 1.2))))
    assert track.places[0][0] >= 0.7 - 1 / 24
    assert track.places[-1][0] < 1.25


ODD = ["decord_video_0.mov", "decord_video_90.mov", "decord_video_180.mov", "torchcodec_h265_video.mp4"]


@pytest.mark.parametrize("name", ODD)
def test_odd_videos_show_what_a_fresh_decoder_shows(shared, name):
    path = shared / "data" / "videos" / "odd" / name
    film = Film(path)
    for share in (0.9, 0.1, 0.5, 0.51, 0.0):
        at = film.first + share * (film.last - film.first)
        assert np.array_equal(film.picture(film.index_at(at)), frame_at(path, at))
