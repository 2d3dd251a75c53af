"""One rule for folders, whichever command looks into them."""

from __future__ import annotations

import pytest
from oddities import write_plain

from stvr.commands import sources, video_files
from stvr.video.folders import is_text, videos_in

VIDEOS = ("b.mp4", "a.MTS", "day1/clip.m2ts", "day1/deep/er/clip.3gp", "day2/clip.vob", "film.ts")
HIDDEN = (".trash/old.mp4", ".b.mp4", "day1/._clip.m2ts", "store/zarr.json", "store/clip.mp4")
OTHERS = ("notes.txt", "day1/notes.TXT", "cover.jpg", "README")


@pytest.fixture
def folder(tmp_path):
    for name in (*VIDEOS, *HIDDEN, *OTHERS):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"\x47\x40\x00\x10\x00" * 80)
    (tmp_path / "app.ts").write_text("// größer\nexport const width: number = 3;\n" * 200, encoding="utf-8")
    return tmp_path


def test_all_videos_below_a_folder_are_found_and_hidden_ones_passed_over(folder):
    told: list[str] = []
    found = videos_in(folder, told.append)
    assert found == sorted(folder / name for name in VIDEOS)
    assert told == [
        f"{folder / 'app.ts'} is left out: it is a text, not a transport stream",
        f"{folder}: 4 files are left out, which are not named like videos: 1 .jpg, 2 .txt, 1 no ending",
    ]


def test_every_way_to_name_a_folder_finds_the_same(folder, capsys):
    assert video_files([folder]) == sources([str(folder)]) == videos_in(folder, lambda line: None)
    assert capsys.readouterr().err.count("not named like videos") == 2  # once each time


def test_a_file_that_is_named_is_taken_at_its_word(folder):
    assert video_files([folder / ".b.mp4", folder / "notes.txt"]) == [folder / ".b.mp4", folder / "notes.txt"]


def test_a_link_to_a_folder_is_followed_once(folder):
    (folder / "day1" / "up").symlink_to(folder, target_is_directory=True)
    assert videos_in(folder, lambda line: None) == sorted(folder / name for name in VIDEOS)


def test_a_text_is_told_from_a_transport_stream(tmp_path):
    assert not is_text(write_plain(tmp_path / "real.ts", 24))
    (tmp_path / "empty.ts").touch()
    assert not is_text(tmp_path / "empty.ts")
    (tmp_path / "qt.ts").write_text("<?xml version='1.0'?>\n<TS language='de'>" + "ä" * 5000, encoding="utf-8-sig")
    assert is_text(tmp_path / "qt.ts")


def test_a_folder_without_videos_is_one_line(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no video file in"):
        video_files([tmp_path])
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        video_files([tmp_path / "nowhere"])
