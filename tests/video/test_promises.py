"""What a container promises and does not hold is said; seconds are those of its clock."""

from __future__ import annotations

import re
from fractions import Fraction

import av
import numpy as np
import pytest
from barcode import number_in, write_video
from oddities import CODECS, cut, write_late, write_plain

from stvr.structures import ClipSpec
from stvr.video.decode import decode_clips, probe
from stvr.video.frame_times import read_frame_times
from stvr.video.pictures import frame_at

SMALL, MS = ClipSpec(image_size=64), Fraction(1, 1000)


@pytest.mark.parametrize("suffix", CODECS)
@pytest.mark.parametrize("share", [1.0, 0.6, 0.9])
def test_a_cut_file_says_how_many_of_its_seconds_are_there(tmp_path, suffix, share):
    path = write_plain(tmp_path / f"video{suffix}", 96)
    assert probe(path).doubt() == ""
    if share == 1:
        return
    cut(path, share)
    with av.open(str(path)) as container:
        num_packets = sum(packet.size > 0 for packet in container.demux(video=0))
    assert 30 < num_packets < 95
    said = re.fullmatch(r"(\d\.\d) of 4\.0 s are there", probe(path).doubt())
    if suffix == ".ts":  # has no header that could promise anything
        assert re.match(r"it ends in the middle of a packet: \d\.\d s are there", probe(path).doubt())
    else:
        assert said
        assert float(said[1]) == pytest.approx(num_packets / 24, abs=0.06)


def test_a_sound_that_is_longer_is_no_promise(tmp_path):
    path = tmp_path / "video.mkv"
    with av.open(str(path), "w") as container:
        sound, video = container.add_stream("aac", rate=16000, layout="mono"), container.add_stream("libx264", rate=24)
        video.width = video.height = 64
        noise = av.AudioFrame.from_ndarray(np.zeros((1, 16000 * 9), np.float32), "fltp", "mono")
        noise.sample_rate = 16000
        for _ in range(24):
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))))
        container.mux([*video.encode(None), *sound.encode(noise), *sound.encode(None)])
    assert probe(path).doubt() == ""


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_seconds_are_those_of_the_containers_clock(tmp_path, suffix):
    path = write_late(tmp_path / f"late{suffix}", late_seconds=2, seconds=2)
    info = probe(path)
    with av.open(str(path)) as container:  # a transport stream's clock begins anywhere; players show that as 0
        first = next(container.decode(video=0)).time - (container.start_time or 0) / 1e6
    assert first == pytest.approx(2, abs=0.1)  # AAC sounds begin a frame early
    assert float(info.offset) == pytest.approx(first, abs=1e-5)
    assert info.doubt() == ""
    seconds = read_frame_times(path)[0].edges[:-1]
    assert seconds == pytest.approx(first + np.arange(48) / 24, abs=0.001)
    for number in (0, 10, 47):
        assert number_in(frame_at(path, float(seconds[number]) + 0.02)) == number
    numbers = [number_in(picture) for _, frames, _ in decode_clips(path, SMALL) for picture in frames]
    assert numbers == list(range(48))  # clip 0 begins with the first picture, as ever


def test_a_video_alone_begins_at_0_wherever_its_stamps_do(tmp_path):
    path = write_video(tmp_path / "video.mkv", range(3_600_000, 3_602_000, 40), MS, 40)
    assert probe(path).offset == 0
    assert read_frame_times(path)[0].edges[:2].tolist() == [0, 0.04]


def numbers_of(path):
    return [number_in(picture) for _, frames, _ in decode_clips(path, SMALL) for picture in frames]


@pytest.mark.parametrize(
    ("ticks", "told"),
    [
        ([*range(0, 2000, 40), *range(1_202_000, 1_204_000, 40)], "1 jump forward (of 1200.0 s at 2.0 s)"),
        ([*range(0, 2000, 40), *range(95_445_000, 95_447_000, 40)], "1 jump forward (of 95443.0 s at 2.0 s)"),
    ],
)
def test_a_clock_that_jumps_gives_the_pictures_that_are_there_and_no_more(tmp_path, ticks, told):
    path = write_video(tmp_path / "gap.mkv", ticks, MS, 40)
    info = probe(path)
    assert told in info.doubt()
    assert float(info.duration) == pytest.approx(4, abs=0.01)
    assert info.count_clips(SMALL) == 12
    shown = numbers_of(path)  # 25 frames a second seen at 24: every one but one a second
    assert set(range(100)) - set(shown) <= {12, 13, 37, 38, 62, 63, 87, 88}
    assert shown == sorted(shown)
    assert number_in(frame_at(path, 2.1)) == 52  # 52 * 40 ms, whatever its stamp


def concatenated(path, *parts):
    """Transport streams one after the other, as a recorder that was started anew writes them."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def test_a_clock_that_begins_again_gives_all_pictures_in_order(tmp_path):
    one = write_video(tmp_path / "a.ts", range(48), Fraction(1, 24), 1)
    two = write_video(tmp_path / "b.ts", range(48), Fraction(1, 24), 1, first_number=100)
    path = concatenated(tmp_path / "both.ts", one, two)
    info = probe(path)
    assert "its clock has" in info.doubt()
    assert float(info.duration) == pytest.approx(4, abs=0.2)  # 96 pictures, 24 a second
    shown = numbers_of(path)
    assert shown == sorted(shown)
    assert {number for number in shown if number >= 100} >= set(range(100, 144))
    assert {number for number in shown if number < 100} >= set(range(44))
