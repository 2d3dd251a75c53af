"""Pictures in folders and HDF5 files become videos: the same bytes, at the times that their numbers say."""

from __future__ import annotations

from fractions import Fraction

import av
import h5py
import numpy as np
import pytest

from stvr.cli import main
from stvr.specs import ClipSpec
from stvr.video.decode import decode_clips, probe
from stvr.video.encode import jpeg, png
from stvr.video.joining import join, numbered_pictures, picture_sources


def picture(level: int) -> np.ndarray:
    return np.full((48, 64, 3), level, np.uint8)


def packets_of(path):
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


@pytest.mark.parametrize(("encode", "ending"), [(lambda p: jpeg(p, 48), "jpg"), (png, "png")])
def test_the_pictures_are_the_same_bytes_in_the_order_of_their_numbers(tmp_path, encode, ending):
    folder = tmp_path / "Stop" / "12"
    folder.mkdir(parents=True)
    contents = {number: encode(picture(8 * number)) for number in (1, 2, 10, 11)}
    for number in (9, 3, 5, 4, 6, 7, 8):
        contents[number] = encode(picture(8 * number))
    for number, content in contents.items():
        (folder / f"{number}.{ending}").write_bytes(content)
    (source,) = picture_sources(tmp_path)
    assert source.name == "Stop/12"
    joined = join(source, Fraction(12), tmp_path / "out.mov")
    assert (joined.num_pictures, joined.missing, joined.empty) == (11, 0, 0)
    assert packets_of(tmp_path / "out.mov") == [contents[number] for number in range(1, 12)]
    info = probe(tmp_path / "out.mov")
    assert float(info.duration) == pytest.approx(11 / 12)
    _, clip, _ = next(decode_clips(tmp_path / "out.mov", ClipSpec(image_size=48)))
    levels = [frame.mean() for frame in clip]
    assert levels[:4] == pytest.approx([8, 8, 16, 16], abs=2)  # 12 a second, seen at 24 a second


def test_a_missing_number_leaves_the_picture_before_and_an_empty_file_is_counted(tmp_path):
    for number in (5, 6, 9):
        (tmp_path / f"image_{number:05}.jpg").write_bytes(jpeg(picture(20 * number), 48))
    (tmp_path / "image_00007.jpg").write_bytes(b"")
    (source,) = picture_sources(tmp_path)
    joined = join(source, Fraction(10), tmp_path / "out.mov")
    assert (joined.num_pictures, joined.missing, joined.empty) == (3, 1, 1)
    info = probe(tmp_path / "out.mov")
    assert [float(tick * info.time_base) for tick in info.ticks] == pytest.approx([0, 0.1, 0.4])


def test_frames_are_told_from_flow_and_other_mixtures_are_refused(tmp_path):
    files = ["img_00001.jpg", "img_00002.jpg", "flow_x_00001.jpg", "flow_y_00001.jpg", "notes.txt", ".img_3.jpg"]
    assert numbered_pictures(tmp_path, files) == [(1, "img_00001.jpg"), (2, "img_00002.jpg")]
    with pytest.raises(ValueError, match=r"pictures of several kinds \(left_, right_...\)"):
        numbered_pictures(tmp_path, ["left_1.jpg", "right_1.jpg"])
    with pytest.raises(ValueError, match="as JPEG and as PNG"):
        numbered_pictures(tmp_path, ["1.jpg", "2.png"])
    with pytest.raises(ValueError, match="two pictures of one number"):
        numbered_pictures(tmp_path, ["1.jpg", "01.jpg"])


def write_hdf5(path, contents, name="video"):
    with h5py.File(path, "w") as file:
        data = file.create_dataset(name, (len(contents),), h5py.vlen_dtype(np.uint8))
        for number, content in enumerate(contents):
            data[number] = np.frombuffer(content, np.uint8)


def test_an_hdf5_file_of_jpegs_as_3d_resnets_writes_it(tmp_path):
    contents = [jpeg(picture(10 * number), 48) for number in range(9)]
    write_hdf5(tmp_path / "v1.hdf5", contents)
    (source,) = picture_sources(tmp_path)
    assert join(source, Fraction(24), tmp_path / "out.mov").num_pictures == 9
    assert packets_of(tmp_path / "out.mov") == contents


@pytest.mark.parametrize("odd", ["number", "group", "pictures"])
def test_an_hdf5_file_of_something_else_is_one_line(tmp_path, odd):
    with h5py.File(tmp_path / "v.h5", "w") as file:
        if odd == "group":
            file.create_group("video/child")
        else:
            file["video"] = 3 if odd == "number" else np.zeros((5, 48, 64, 3), np.uint8)
    (source,) = picture_sources(tmp_path)
    with pytest.raises(ValueError, match="'video' is no list of JPEGs"):
        join(source, Fraction(24), tmp_path / "out.mov")


def test_pictures_of_another_kind_are_counted(tmp_path):
    for name in ("img_1.jpg", "img_2.jpg", "flow_x_1.jpg"):
        (tmp_path / name).write_bytes(jpeg(picture(9), 48))
    (source,) = picture_sources(tmp_path)
    assert (len(source.pictures), source.others) == (2, 1)


def command(monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["stvr", "join", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code or 0


def test_the_command_writes_all_says_what_failed_and_goes_on_where_it_was(tmp_path, monkeypatch, capsys):
    for name in ("a", "b"):
        (tmp_path / "in" / "Wave" / name).mkdir(parents=True)
        for number in range(1, 13):
            (tmp_path / "in" / "Wave" / name / f"image_{number:05}.jpg").write_bytes(jpeg(picture(number), 48))
    write_hdf5(tmp_path / "in" / "c.h5", [b"x"], "frames")
    (tmp_path / "in" / "d").mkdir()
    (tmp_path / "in" / "d" / "1.jpg").write_bytes(b"no picture")
    arguments = (tmp_path / "in", "--rate", "30000/1001", "--out", tmp_path / "out")
    assert command(monkeypatch, *arguments) == 1
    printed = capsys.readouterr()
    said = printed.err
    assert "2 videos written, 0 already there, 2 failed" in printed.out
    assert "c.h5 has no dataset 'video' of JPEGs. It has frames" in said
    assert "its first picture cannot be read" in said
    assert sorted(path.name for path in (tmp_path / "out").rglob("*.mov")) == ["a.mov", "b.mov"]
    assert command(monkeypatch, *arguments) == 1
    assert "0 videos written, 2 already there, 2 failed" in capsys.readouterr().out


@pytest.mark.parametrize("rate", ["fast", "0", "1/0", "2000"])
def test_a_rate_that_is_none_is_one_line(tmp_path, monkeypatch, capsys, rate):
    assert command(monkeypatch, tmp_path, "--rate", rate, "--out", tmp_path / "out") == 2
    assert "pictures a second" in capsys.readouterr().err


def test_a_folder_without_pictures_is_one_line(tmp_path, monkeypatch, capsys):
    assert command(monkeypatch, tmp_path, "--rate", "12", "--out", tmp_path / "out") == 2
    assert "no numbered pictures" in capsys.readouterr().err
