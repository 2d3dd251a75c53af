"""What of a video is described: which clips, which boxes, which vectors; what stands still or is blank is not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from shelf import SIDE, SPEC, WIDTH, lively, write_shelf

from stvr.heads.nearest import NearestHead, NearestOptions
from stvr.library.described import TUBE, WINDOW
from stvr.library.describing import Describer


def described(path, maps, *regions):
    """The rows of one video, by a head that takes features as they are."""
    return Describer(NearestHead(NearestOptions(), SPEC), regions)(write_shelf(path, {"one": maps}), "one")


def windows_of(count: int) -> list[tuple[int, int]]:
    """Six clips, every three clips, until one ends with the video."""
    found, start = [], 0
    while True:
        found.append((start, min(start + 6, count)))
        if start + 6 >= count:
            return found
        start += 3


@pytest.mark.parametrize("count", [1, 3, 5, 6, 7, 14, 23, 24, 25, 27, 50])
def test_windows_cover_a_video_of_any_length_and_each_is_its_mean(tmp_path, count):
    maps = lively(count)
    rows = described(tmp_path / "s", maps, "windows")
    wanted = windows_of(count)
    assert list(zip(rows.start.tolist(), rows.stop.tolist(), strict=True)) == wanted
    means = np.stack([maps[a:b].astype(np.float64).mean((0, 1, 2)) for a, b in wanted])
    np.testing.assert_allclose(rows.vector, means, atol=1e-3)
    assert (rows.kind == WINDOW).all()
    assert (rows.box == [0, 0, 1, 1]).all()


def test_a_grid_is_the_picture_and_nine_overlapping_quarters(tmp_path):
    maps = lively(6)
    rows = described(tmp_path / "s", maps, "grid")
    quarters = [(x, y, x + 0.5, y + 0.5) for y in (0, 0.25, 0.5) for x in (0, 0.25, 0.5)]
    np.testing.assert_allclose(rows.box, [(0, 0, 1, 1), *quarters], atol=1e-6)
    for (x1, y1, x2, y2), vector in zip(rows.box * SIDE, rows.vector, strict=True):
        part = maps[:, int(y1) : int(y2), int(x1) : int(x2)].astype(np.float64)
        np.testing.assert_allclose(vector, part.mean((0, 1, 2)), atol=1e-3)


def test_what_stands_still_is_left_out_and_counted(tmp_path):
    maps = lively(36)
    maps[12:24] = maps[12]  # steps 12 .. 22 change nothing; whoever has one within three clips stands still: 10 .. 25
    rows = described(tmp_path / "s", maps, "windows")
    assert rows.notes["still_clips"] == 16
    assert rows.notes["blank_clips"] == 0
    lively_clips = {*range(10), *range(26, 36)}
    assert list(zip(rows.start.tolist(), rows.stop.tolist(), strict=True)) == [
        (a, b) for a, b in windows_of(36) if len(lively_clips & {*range(a, b)}) >= (b - a) / 2]
    last = [clip for clip in range(6, 12) if clip in lively_clips]  # the window [6, 12) is the mean of 6 .. 9
    place = rows.start.tolist().index(6)
    np.testing.assert_allclose(rows.vector[place], maps[last].astype(np.float64).mean((0, 1, 2)), atol=1e-3)


def test_a_picture_of_one_colour_is_blank_even_if_it_flickers(tmp_path):
    maps = lively(30)
    maps[9:21] = lively(12, 1)[:, :1, :1]  # one cell like another, and another colour in every clip
    rows = described(tmp_path / "s", maps, "windows")
    assert rows.notes["blank_clips"] == 12
    assert rows.notes["still_clips"] == 0
    assert rows.start.tolist() == [0, 3, 6, 18, 21, 24]  # of 9, 12 and 15 less than half is to be seen
    assert rows.stop.tolist() == [6, 9, 12, 24, 27, 30]


def test_a_video_that_never_moves_has_no_rows(tmp_path):
    rows = described(tmp_path / "s", np.repeat(lively(1), 9, 0), "windows", "tubes")
    assert len(rows) == 0
    assert rows.vector.shape == (0, WIDTH)
    assert rows.notes["still_clips"] == 9


def test_a_tube_follows_what_moves_and_holds_what_it_is(tmp_path):
    rng = np.random.default_rng(5)
    maps = np.repeat(lively(1), 12, 0)
    mover, places = rng.random(WIDTH) * 4, [min(clip // 2, SIDE - 3) for clip in range(12)]
    for clip, left in enumerate(places):  # three by three cells, to the right by a cell every other clip
        maps[clip, 2:5, left : left + 3] = mover + rng.random((3, 3, WIDTH)) * 2
    rows = described(tmp_path / "s", maps, "tubes")
    assert (rows.kind == TUBE).any()
    best = [int(np.argmax([cosine(vector, mover + 1) if start == begin else -1
                           for vector, start in zip(rows.vector, rows.start, strict=True)])) for begin in (0, 3, 6)]
    for row in best:
        clips = range(rows.start[row], rows.stop[row])
        true = np.mean([(places[c] / SIDE, 2 / SIDE, (places[c] + 3) / SIDE, 5 / SIDE) for c in clips], 0)
        assert iou(rows.box[row], true) > 0.4
        whole = maps[clips].astype(np.float64).mean((0, 1, 2))
        assert cosine(rows.vector[row], mover + 1) > cosine(whole, mover + 1)
    assert rows.box[best[0], 0] < rows.box[best[2], 0] - 0.5 / SIDE


def test_a_query_of_a_window_is_its_row(tmp_path):
    from stvr.structures import Features

    head, maps = NearestHead(NearestOptions(), SPEC), lively(6)
    rows = Describer(head, ("grid",))(write_shelf(tmp_path / "s", {"one": maps}), "one")
    for box, vector in zip(rows.box, rows.vector, strict=True):
        pooled = head.pool(Features({"cells": torch.from_numpy(maps).float()}), torch.tensor(box).expand(6, 4))["what"]
        np.testing.assert_allclose(pooled.mean(0), vector.astype(np.float32), atol=1e-3)


def cosine(one, other) -> float:
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def iou(one, other) -> float:
    sides = np.maximum(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return float(sides.prod() / (sum(areas) - sides.prod()))
