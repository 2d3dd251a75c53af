"""A live source gives the clips of the file that it sends, whatever it comes through, and over its breaks."""

from __future__ import annotations

import io
import threading
import time
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from film import write_film
from streamed import as_ts, fifo, http_stream, rtsp_stream
from tiny import SPEC

from stvr.structures import ClipSpec
from stvr.video.decode import VideoError, decode_clips
from stvr.video.live import is_address, is_live
from stvr.video.reconnecting import LiveSource

READ = replace(SPEC, clip=ClipSpec(image_size=32))


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """14 clips and a half."""
    return write_film(tmp_path_factory.mktemp("live") / "film.mp4", 8 * 9, 8 * 5 + 4)


def read(name: str, **options) -> tuple[list[tuple[float, list, str]], list[str]]:
    """Of each part: when it begins, its clips, how it ended; and what was said."""
    said: list[str] = []
    with LiveSource(name, READ, said.append, **options) as live:
        found = [(part.offset_seconds, list(part.clips), part.end) for part in live.parts()]
    return [(offset, clips, end.error) for offset, clips, end in found], said


def assert_clips(clips, path: Path):
    wanted = list(decode_clips(path, READ.clip))
    assert [clip.number for clip in clips] == [number for number, _, _ in wanted]
    for clip, (_, frames, _) in zip(clips, wanted, strict=True):
        np.testing.assert_array_equal(clip.frames, frames)
    assert clips[0].before is None
    assert all(np.array_equal(after.before, clip.frames[-1]) for clip, after in pairwise(clips))


def test_what_is_live():
    assert [is_live(name) for name in ("-", "rtsp://host/a", "HTTP://host/a", __file__)] == [True, True, True, False]
    assert not is_address("s3://bucket/a.mp4")


@pytest.mark.parametrize(("container", "rate"), [
    ("mpegts", Fraction(25)), ("mpegts", Fraction(30000, 1001)), ("matroska", Fraction(30)), ("matroska", Fraction(12)),
])  # fmt: skip
def test_a_pipe_gives_the_clips_of_the_file(container, rate, tmp_path):
    file = tmp_path / "film"
    with av.open(str(file), "w", format=container) as target:
        stream = target.add_stream("libx264", rate=rate, options={"bf": "2", "g": "10"})
        stream.width = stream.height = 48
        for number in range(50):
            noise = np.random.default_rng(number // 3).integers(0, 255, (48, 48, 3), np.uint8)
            target.mux(stream.encode(av.VideoFrame.from_ndarray(noise)))
        target.mux(stream.encode(None))
    with fifo(tmp_path / "pipe", file.read_bytes()) as pipe:
        [(offset, clips, error)], said = read(pipe)
    assert (offset, error, said) == (0.0, "", [])
    assert_clips(clips, file)


def test_an_address_that_breaks_off_and_comes_back_loses_nothing_that_was_sent(film):
    other = 100 + Fraction(1, 3)  # seconds on the sender's clock, which goes on: the break lasts long
    with http_stream(as_ts(film), as_ts(film, other)) as address:
        parts, said = read(address, give_up_seconds=0.3, first_wait=0.05)
    assert len(parts) == 2
    for _, clips, _ in parts:
        assert_clips(clips, film)
    assert parts[0][0] == 0.0
    assert "opening it again in 0.05 s" in said[0]
    assert "given up" in said[-1]
    assert "404" in said[-1]


@pytest.mark.parametrize("later", [6, 1])
def test_seconds_go_on_over_a_break(film, later):
    """By the sender's clock where it goes on, else by this machine's: never back."""
    with http_stream(as_ts(film, Fraction(2)), as_ts(film, Fraction(2 + later))) as address:
        parts, _ = read(address, give_up_seconds=0.3, first_wait=0.05)
    offset, lasts = parts[1][0], 14 / 3  # whole clips
    if later == 6:
        assert offset == pytest.approx(6.0)
    else:
        assert lasts <= offset < lasts + 5


@pytest.mark.parametrize("abrupt", [False, True])
def test_a_cut_in_the_middle_of_a_packet_is_a_break(film, abrupt):
    data = as_ts(film)
    with http_stream(data[: len(data) // 2 + 50], data, abrupt=abrupt) as address:
        parts, said = read(address, give_up_seconds=0.3, first_wait=0.05)
    assert 0 < len(parts[0][1]) < 14
    assert_clips(parts[1][1], film)
    assert len(said) >= 2


def test_an_address_that_falls_silent_is_opened_again(film, monkeypatch):
    monkeypatch.setattr("stvr.video.live.SILENT_SECONDS", 0.5)
    data, woken = as_ts(film), threading.Event()

    def falls_silent():
        yield data
        woken.wait(20)

    with http_stream(falls_silent, data) as address:
        parts, said = read(address, give_up_seconds=0.3, first_wait=0.05)
        woken.set()
    assert len(parts) == 2
    assert_clips(parts[1][1], film)
    assert [clip.number for clip in parts[0][1]] == [clip.number for clip in parts[1][1]]
    assert "opening it again" in said[0]


def test_who_asks_slowly_does_not_make_a_source_silent(film):
    """Longer than the patience passes until the last clips are taken."""
    with http_stream(as_ts(film), as_ts(film)) as address, LiveSource(address, READ, [].append, 0.3, 0.05) as live:
        counts = []
        for part in live.parts():
            counts.append(sum(1 for clip in part.clips if not time.sleep(0.8 * (clip.number == 9))))
    assert counts == [14, 14]


def test_a_recording_on_a_server_ends_where_it_ends(film):
    with http_stream(as_ts(film), as_ts(film), sized=True) as address:
        parts, said = read(address)
    assert len(parts) == 1
    assert said == []
    assert_clips(parts[0][1], film)


def test_rtsp(film):
    with rtsp_stream(as_ts(film)) as address:
        parts, _ = read(address, give_up_seconds=0.0, first_wait=0.05)
    assert_clips(parts[0][1], film)


def test_a_clip_is_given_when_its_last_picture_has_been_sent(tmp_path):
    """Held back are no more pictures than the format reorders, here none, and the one that ends the last's time."""
    out, sent, parts = io.BytesIO(), 0, []
    with av.open(out, "w", format="mpegts", options={"flush_packets": "1"}) as target:
        stream = target.add_stream("libx264", rate=24, options={"tune": "zerolatency", "g": "8"})
        stream.width = stream.height = 32
        for number in range(80):
            target.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((32, 32, 3), 3 * number, np.uint8))))
            parts.append(out.getvalue())
    chunks = [after[len(before):] for before, after in zip([b"", *parts], parts, strict=False)]

    def camera():
        nonlocal sent
        for number, chunk in enumerate(chunks, 1):
            sent = number
            yield chunk
            if number > 48:  # ffmpeg looks at so much of a stream before it gives anything
                time.sleep(0.02)

    with http_stream(camera) as address, LiveSource(address, READ, lambda line: None, 0.0, 0.01) as live:
        part = next(live.parts())
        late = [sent - 8 * (clip.number + 1) for clip in part.clips]
    assert max(late[7:]) <= 4  # pictures; some come while a clip is resized and handed over


def test_what_cannot_be_opened_at_first_is_the_users_fault(tmp_path):
    with http_stream() as address, pytest.raises(VideoError, match="cannot be read as a video"):
        read(address)
    with fifo(tmp_path / "pipe", b"nothing like a video" * 99) as pipe, pytest.raises(VideoError, match="as a video"):
        read(pipe)
