"""The right frames, upright and in their right colours, or one clear error."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from barcode import nearest, number_in, write_video

from stvr.structures import ClipSpec
from stvr.video.decode import VideoError, decode_clips, probe

SMALL = ClipSpec(image_size=64)
RNG = np.random.default_rng(5)
RATES = {
    "30": (range(90), Fraction(1, 30), 1),
    "25": (range(75), Fraction(1, 25), 1),
    "29.97": (range(0, 1001 * 90, 1001), Fraction(1, 30000), 1001),
    "variable": (np.cumsum([0, *RNG.integers(500, 9000, 80)]).tolist(), Fraction(1, 90000), 4321),
}


def numbers(path, spec=SMALL, **options):
    """The numbers on the frames of all clips, in order."""
    return [number_in(picture) for _, frames, _ in decode_clips(path, spec, **options) for picture in frames]


def whole_clips(chosen):
    return chosen[: len(chosen) // 8 * 8]


@pytest.mark.parametrize("rate", RATES)
def test_every_frame_is_the_nearest_one(tmp_path, rate):
    ticks, time_base, tail = RATES[rate]
    path = write_video(tmp_path / "video.mp4", ticks, time_base, tail)  # with B-frames
    expected = whole_clips(nearest([tick * time_base for tick in ticks], (ticks[-1] + tail) * time_base, 24))
    clips = list(decode_clips(path, SMALL))
    assert [number_in(picture) for _, frames, _ in clips for picture in frames] == expected
    shown = np.concatenate([ticks for _, _, ticks in clips]) * probe(path).time_base
    assert shown.tolist() == [ticks[number] * time_base for number in expected]
    assert [index for index, _, _ in clips] == list(range(len(expected) // 8))


def test_ties_are_among_the_frames_that_are_tested():
    ticks, time_base, _ = RATES["30"]
    halves = [k for k in range(72) if (Fraction(k, 24) / time_base) % 1 == Fraction(1, 2)]
    assert len(halves) == 18  # every fourth of 72 instants
    assert nearest([tick * time_base for tick in ticks], Fraction(3), 24)[2] == 2  # 2.5 -> 2


def test_starting_later_gives_the_same_clips(tmp_path):
    path = write_video(tmp_path / "video.mp4", *RATES["variable"])
    whole = list(decode_clips(path, SMALL))
    for start in (1, 5, len(whole) - 1):
        rest = list(decode_clips(path, SMALL, start))
        assert [index for index, _, _ in rest] == list(range(start, len(whole)))
        for (_, frames, ticks), (_, same_frames, same_ticks) in zip(whole[start:], rest, strict=True):
            np.testing.assert_array_equal(frames, same_frames)
            np.testing.assert_array_equal(ticks, same_ticks)
    assert list(decode_clips(path, SMALL, len(whole))) == []


@pytest.mark.parametrize("name", ["stream.h264", "frames.avi"])
def test_frames_are_counted_where_the_timestamps_are_not_theirs(tmp_path, name):
    # a raw stream has no timestamps; AVI numbers frames in the order they are stored, not shown, and B-frames differ
    path = write_video(tmp_path / name, range(50), Fraction(1, 25), 1, options={"bf": "2"})
    assert probe(path).counted
    assert numbers(path) == whole_clips(nearest([Fraction(n, 25) for n in range(50)], Fraction(2), 24))


def test_frames_that_cannot_be_decoded_are_counted_and_their_neighbours_take_their_place(tmp_path):
    path = write_video(tmp_path / "video.mkv", range(0, 48 * 40, 40), Fraction(1, 1000), 40, codec="mjpeg")
    broken = [0, 1, 10, 11, 12, 30]
    blank_packets(path, broken)
    left = [n for n in range(48) if n not in broken]
    expected = [left[n] for n in nearest([Fraction(n, 25) for n in left], Fraction(48, 25), 24)]
    errors = []
    assert numbers(path, on_error=errors.append) == whole_clips(expected)
    assert len(errors) == len(broken)


def test_a_file_that_ends_early_gives_fewer_clips_of_the_right_frames(tmp_path):
    path = write_video(tmp_path / "video.mkv", range(0, 90 * 40, 40), Fraction(1, 1000), 40, codec="mjpeg")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    num_frames = len(probe(path).ticks)
    shown = numbers(path)
    assert 40 <= num_frames <= 46  # half of 90, less the header
    assert shown == nearest([Fraction(n, 25) for n in range(num_frames)], Fraction(num_frames, 25), 24)[: len(shown)]
    assert len(shown) // 8 in (num_frames * 24 // 25 // 8, num_frames * 24 // 25 // 8 - 1)


def test_packets_that_do_not_decode_at_the_end_give_fewer_clips(tmp_path):
    path = write_video(tmp_path / "video.mkv", range(0, 48 * 40, 40), Fraction(1, 1000), 40, codec="mjpeg")
    blank_packets(path, range(24, 48))
    assert probe(path).count_clips(SMALL) == 5  # 1.92 s
    assert numbers(path) == whole_clips(nearest([Fraction(n, 25) for n in range(24)], Fraction(24, 25), 24))


def test_full_range_bt709_has_the_colours_of_the_standard(shared):
    path = shared / "data/videos/odd/torchcodec_bt709_full_range.mp4"
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    luma, blue, red = (np.frombuffer(plane, np.uint8).reshape(plane.height, -1).astype(float) for plane in frame.planes)
    luma = luma[:, :1280].reshape(360, 2, 640, 2).mean((1, 3))  # to the size of the chroma planes
    blue, red = blue[:, :640] - 128, red[:, :640] - 128
    # ITU-R BT.709, full range: R = Y + 1.5748 Cr, G = Y - 0.1873 Cb - 0.4681 Cr, B = Y + 1.8556 Cb
    expected = np.stack([luma + 1.5748 * red, luma - 0.1873 * blue - 0.4681 * red, luma + 1.8556 * blue], -1)
    expected = expected.clip(0, 255).reshape(9, 40, 16, 40, 3).mean((1, 3))  # a cell of 40 x 40: 9 x 16 cells
    _, frames, _ = next(decode_clips(path, ClipSpec(image_size=720)))
    cells = frames[0].astype(float).reshape(9, 80, 16, 45, 3).mean((1, 3))
    assert np.abs(cells - expected).mean() < 1  # levels of 255; as limited range it would be 9, as BT.601 11
    assert np.abs(cells - expected).max() < 4


@pytest.mark.parametrize(("degrees", "size"), [(0, (568, 320)), (90, (320, 568)), (180, (568, 320))])
def test_a_phone_held_sideways_gives_upright_frames(shared, degrees, size):
    path = shared / f"data/videos/odd/decord_video_{degrees}.mov"
    info = probe(path)
    assert (info.width, info.height) == size
    with av.open(str(path)) as container:
        coded = next(container.decode(video=0)).to_ndarray(format="rgb24", width=80, height=80)
    upright = {  # the letters on the keys can be read in these; the camera was turned clockwise
        0: coded,
        90: coded.transpose(1, 0, 2)[:, ::-1],
        180: coded[::-1, ::-1],
    }[degrees]
    _, frames, _ = next(decode_clips(path, ClipSpec(fps=30, frames_per_clip=3, image_size=80)))
    assert np.abs(frames[0].astype(float) - upright).mean() < 5  # 40 when turned any other way


def test_the_better_of_two_video_streams_is_read(shared):
    info = probe(shared / "data/videos/open/nasa_13013_two_video_streams.mp4")
    assert (info.width, info.height, len(info.ticks)) == (480, 270, 390)  # as ffprobe counts them
    assert info.duration == Fraction(390 * 1001, 30000)


@pytest.mark.parametrize("name", ["odd/torchcodec_h265_video.mp4", "open/imageio_hand_wave_vfr.webm"])
def test_odd_files_give_as_many_clips_as_their_duration_promises(shared, name):
    path = shared / "data/videos" / name
    expected = {"odd/torchcodec_h265_video.mp4": 3, "open/imageio_hand_wave_vfr.webm": 9}  # 1.0 s and 3.137 s at 3 a s
    clips = list(decode_clips(path, SMALL))
    assert len(clips) == expected[name]
    assert all(frames.shape == (8, 64, 64, 3) and frames.std() > 1 for _, frames, _ in clips)


def a_text(folder):
    (folder / "notes.mp4").write_text("this is no video\n" * 100)
    return folder / "notes.mp4"


def nothing_in_it(folder):
    (folder / "empty.mp4").touch()
    return folder / "empty.mp4"


def sound_alone(folder):
    with av.open(str(folder / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), "fltp", "mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return folder / "sound.mp4"


def seven_frames(folder):
    return write_video(folder / "seven.mp4", range(7), Fraction(1, 24), 1)


def the_index_cut_off(folder):
    path = write_video(folder / "half.mp4", range(48), Fraction(1, 24), 1)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def every_frame_blank(folder):
    path = write_video(folder / "zeros.mkv", range(0, 48 * 40, 40), Fraction(1, 1000), 40, codec="mjpeg")
    blank_packets(path, range(48))
    return path


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (a_text, "cannot be read as a video: Invalid data"),
        (nothing_in_it, "cannot be read as a video: Invalid data"),
        (sound_alone, "no video stream, only audio"),
        (seven_frames, "lasts 0.292 s, less than one clip of 8 frames at 24"),
        (the_index_cut_off, "cannot be read as a video: Invalid data"),
        (every_frame_blank, "not one frame of it can be decoded"),
        (lambda folder: folder / "missing.mp4", "does not exist"),
        (lambda folder: folder, "is a folder"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_file_without_clips_is_refused_in_one_line_that_names_it(tmp_path, build, why):
    path: Path = build(tmp_path)
    with pytest.raises(VideoError) as caught:
        list(decode_clips(path, SMALL))
    assert str(path) in str(caught.value)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cover_picture_is_not_taken_for_the_video(tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=16000, layout="mono")
        cover = container.add_stream("mjpeg", rate=1)
        cover.width = cover.height = 64
        cover.pix_fmt = "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        container.mux(cover.encode(av.VideoFrame(64, 64, "yuvj420p")))
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), "fltp", "mono")
        frame.sample_rate = 16000
        container.mux([*cover.encode(None), *sound.encode(frame), *sound.encode(None)])
    with pytest.raises(VideoError, match="no video stream"):
        probe(path)


def blank_packets(path, which):
    """Overwrites these packets of a file with zeros, in place."""
    with av.open(str(path)) as container:
        packets = [(packet.pos, bytes(packet)) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for place, content in (packets[number] for number in which):
        start = data.index(content, place)
        data[start : start + len(content)] = bytes(len(content))
    path.write_bytes(data)


def test_frames_are_resized_as_tensorflow_1_did(tmp_path):
    """Its formula written out: pixel i of 20 is read at i * 48 / 20 between whole pixels, the last one repeated."""
    noise = np.random.default_rng(2).integers(0, 256, (48, 64), dtype=np.uint8)
    with av.open(str(tmp_path / "grey.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray"
        for _ in range(8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise, "gray")))
        container.mux(stream.encode(None))
    ((_, frames, _),) = decode_clips(tmp_path / "grey.mkv", ClipSpec(image_size=20), resize="tf1")
    expected = np.zeros((20, 20))
    for row in range(20):
        for column in range(20):
            y, x = row * 48 / 20, column * 64 / 20
            top, left = int(y), int(x)
            down, right = min(top + 1, 47), min(left + 1, 63)
            upper = noise[top, left] * (1 - x % 1) + noise[top, right] * (x % 1)
            lower = noise[down, left] * (1 - x % 1) + noise[down, right] * (x % 1)
            expected[row, column] = upper * (1 - y % 1) + lower * (y % 1)
    assert np.abs(frames[0] - expected[:, :, None]).max() <= 0.51
    ((_, whole, _),) = decode_clips(tmp_path / "grey.mkv", ClipSpec(image_size=20))
    assert np.abs(whole[0].astype(int) - frames[0]).max() > 20  # "bilinear" averages the pixels it skips
