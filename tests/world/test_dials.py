"""Promises of scenes.csv: the dials as measured, and pairs binned by them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stvr.structures import Pair, Span, Tubelet
from stvr.world.dials import VideoDials, bins_of_pairs, longest_run, measure, read_dials, write_dials
from stvr.world.options import WorldOptions
from stvr.world.scenes import build_scene

SLOW = VideoDials("slow", 8.0, 2, 0, 0.1, 0.0, 0.0, 0.0)
FAST = VideoDials("fast", 12.0, 3, 4, 1.75, 1 + 1 / 3, 2.0, 1.25)


def asking(video: str, clips: int) -> Pair:
    return Pair(Tubelet(Span("other", 0, 1), torch.rand(1, 4)), Span(video, 0, clips), (), "1")


def test_the_longest_run_is_counted():
    assert [longest_run(np.array(flags, bool)) for flags in ([], [0], [1], [1, 1, 0, 1], [0, 1, 0, 1, 1, 1])] == [
        0, 0, 1, 2, 3]  # fmt: skip


def test_what_is_written_is_read(tmp_path: Path):
    write_dials(tmp_path / "scenes.csv", [SLOW, FAST])
    assert read_dials(tmp_path) == read_dials(tmp_path / "scenes.csv") == {
        "slow": SLOW, "fast": replace(FAST, occlusion=1.3333)}  # fmt: skip


def test_speed_is_measured_from_clip_to_clip_and_occlusion_in_whole_clips():
    options = WorldOptions(image_size=96, seconds=(4, 4), actors=(1, 1), speed=(1.0, 1.0))
    scene = build_scene(options, "train_0000")
    feet = scene.actors[0].feet[4::8, 0]  # the middle of each clip of eight frames
    shares = np.array([[1, 1, 0.4, 0.3, 0.49, 0.5, 1, 0, 1, 1, 1, 1], [1] * 11 + [0]])
    found = measure("train_0000", scene, shares)
    assert found.speed == pytest.approx(np.abs(np.diff(feet)).mean() / 16)
    assert 0.7 < found.speed <= 1
    assert found.speed_dial == 1
    assert found.occlusion == pytest.approx(2 / 3)  # three clips of the one, one of the other
    assert found.seconds == 4


def test_pairs_fall_into_the_bins_of_their_reference():
    pairs = [asking("slow", 12), asking("fast", 36), asking("slow", 15)]
    bins = bins_of_pairs(pairs, {"slow": SLOW, "fast": FAST})
    contents = {name: [(each.low, each.high, each.pairs) for each in some] for name, some in bins.items()}
    assert contents["speed"] == [(0, 0.25, (0, 2)), (1.5, 2, (1,))]
    assert contents["occlusion"] == [(0, 1 / 3, (0, 2)), (1, 2, (1,))]
    assert contents["length"] == [(0, 5, (0,)), (5, 10, (2,)), (10, 20, (1,))]  # 4, 5 and 12 seconds


def test_a_video_without_dials_is_named():
    with pytest.raises(LookupError, match="'fast'"):
        bins_of_pairs([asking("fast", 3)], {"slow": SLOW})


@pytest.mark.parametrize(("text", "message"), [
    ("video,seconds\nv,1\n", "no column actors"),
    ("video,seconds,actors,clutter,speed,occlusion,speed_dial,occlusion_dial\nv,1,2,0,x,0,0,0\n", "line 2"),
    ("video,seconds,actors,clutter,speed,occlusion,speed_dial,occlusion_dial\nv,1,inf,0,1,0,0,0\n", "line 2")])
def test_another_table_is_refused_with_its_line(tmp_path: Path, text: str, message: str):
    (tmp_path / "scenes.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_dials(tmp_path)
