"""A video that is not as its file promises is in the store, and everybody is told."""

from __future__ import annotations

import json
import re
from fractions import Fraction

import pytest
from barcode import write_video
from clock import Reader, run, write_clock
from oddities import cut, write_late, write_plain

from stvr.store import FeatureStore

MS = Fraction(1, 1000)
SMALL = ("--image-size", 64, "--endpoint", "Conv3d_1a_7x7")


def write_gap(path):
    """Two seconds, twenty minutes of nothing, two seconds."""
    return write_video(path, [*range(0, 2000, 40), *range(1_202_000, 1_204_000, 40)], MS, 40)


def test_a_doubtful_video_is_kept_with_its_doubt_and_costs_what_its_pictures_warrant(tmp_path):
    reader = Reader(tmp_path / "log")
    report = run([write_gap(tmp_path / "gap.mkv"), write_clock(tmp_path / "good.mp4", 2)], tmp_path / "store", reader)
    assert report.done == ["gap", "good"]
    assert report.doubtful.keys() == {"gap"}
    assert report.clips_computed == len(reader.logged()) == 12 + 2  # four seconds, three clips in each
    store = FeatureStore.open(tmp_path / "store")
    assert store.info("gap")["doubt"] == report.doubtful["gap"]
    assert "1 jump forward (of 1200.0 s at 2.0 s), bridged at 25 pictures a second" in report.doubtful["gap"]
    again = run([tmp_path / "gap.mkv"], tmp_path / "store", reader)
    assert (again.skipped, again.doubtful) == (["gap"], report.doubtful)


def test_clips_that_do_not_decode_are_missing_seconds(tmp_path):
    path = write_plain(tmp_path / "video.mp4", 48)
    content = bytearray(path.read_bytes())
    content[-len(content) // 4 :] = bytes(len(content) // 4)  # the packets are there, but hold nothing
    path.write_bytes(content)
    report = run([path], tmp_path / "store", Reader())
    there = FeatureStore.open(tmp_path / "store").num_clips("video") / 3
    assert 1 <= there < 1.6  # a quarter of the bytes is gone
    assert re.fullmatch(rf"{there:.1f} of 2\.0 s are there; \d+ decoding errors", report.doubtful["video"])


def test_a_file_whose_last_picture_alone_is_broken_is_not_said_to_be_shorter(tmp_path):
    path = cut(write_plain(tmp_path / "video.mp4", 48), 0.995)
    report = run([path], tmp_path / "store", Reader())
    assert FeatureStore.open(tmp_path / "store").num_clips("video") == 5
    assert report.doubtful["video"].startswith("its last clip does not decode")


def test_extract_exits_with_status_1_for_doubtful_videos_unless_told(tmp_path, stvr):
    folder = tmp_path / "videos"
    folder.mkdir()
    cut(write_plain(folder / "half.mp4", 96), 0.5)
    write_clock(folder / "good.mp4", 1)
    words = ("extract", folder, "--store", tmp_path / "store", *SMALL)
    for more, status in ((), 1), (("--accept-doubtful",), 0), ((), 1):  # the second and third find it there
        result = stvr(*words, *more)
        assert result.status == status
        assert "stvr: half is doubtful: " in result.err
        assert " of 4.0 s are there" in result.err
        assert "good is doubtful" not in result.err
    told = json.loads(stvr("info", tmp_path / "store").out)
    assert told["doubtful"].keys() == {"half"}
    assert " of 4.0 s are there" in json.loads(stvr("info", folder / "half.mp4").out)["doubt"]


def test_a_path_that_does_not_exist_is_one_line_and_makes_no_store(tmp_path, stvr):
    write_clock(tmp_path / "good.mp4", 1)
    result = stvr("extract", tmp_path / "good.mp4", tmp_path / "nowhere", "--store", tmp_path / "store", *SMALL)
    assert result.status == 2
    assert result.err.splitlines()[-1] == (
        f"stvr: {tmp_path / 'nowhere'} does not exist. Name video files, or a folder of them.")
    assert "good.mp4" not in result.err
    assert not (tmp_path / "store").exists()


def test_the_store_keeps_when_the_pictures_begin_and_how_large_they_are(tmp_path, stvr):
    videos = [write_late(tmp_path / "late.mp4", late_seconds=2, seconds=1),
              write_plain(tmp_path / "wide.mkv", 24, Fraction(2), (96, 64))]  # fmt: skip
    run(videos, tmp_path / "store", Reader())
    store = FeatureStore.open(tmp_path / "store")
    assert store.offset_seconds("late") == pytest.approx(2, abs=0.001)
    assert store.offset_seconds("wide") == 0
    assert (store.info("wide")["width"], store.info("wide")["height"]) == (192, 64)
    told = json.loads(stvr("info", videos[1]).out)
    assert {name: told[name] for name in ("width", "height", "coded_width", "coded_height", "pixel_aspect")} == {
        "width": 192, "height": 64, "coded_width": 96, "coded_height": 64, "pixel_aspect": "2"}  # fmt: skip
    assert json.loads(stvr("info", videos[0]).out)["offset_seconds"] == pytest.approx(2, abs=0.001)
