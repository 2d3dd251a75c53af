"""Promises of `stvr import`, `export` and `prepare cvat`: what they say at their end, and their exit status."""

import csv
from pathlib import Path

import numpy as np
from stamped import write_stamped

from stvr.render.exporters import write_found
from stvr.render.exporters.records import Found


def cvat(path: Path, source: str, *tracks: str) -> Path:
    path.write_text(f"""<annotations><meta><task><size>48</size><original_size><width>96</width><height>64</height>
</original_size><source>{source}</source></task></meta>{''.join(tracks)}</annotations>""")
    return path


def box(number: int, label: str, start: int, stop: int) -> str:
    corners = 'xtl="10" ytl="10" xbr="40" ybr="50"'
    return (f'<track id="{number}" label="{label}"><box frame="{start}" outside="0" {corners}/>'
            f'<box frame="{stop}" outside="1" {corners}/></track>')


POLYGON = '<track id="9" label="wave"><polygon frame="0" points="1,1;2,1;2,2"/></track>'


def labels_in(path: Path) -> set[tuple[str, str]]:
    return {(row["person"], row["label"]) for row in csv.DictReader(path.open())}


def test_labels_survive_importing_and_a_label_given_overrides_them(stvr, tmp_path: Path):
    file = cvat(tmp_path / "a.xml", "clip.mp4", box(0, "wave", 0, 24), box(1, "jump", 24, 47))
    words = ("import", file, "--format", "cvat", "--out", tmp_path / "a.csv", "--fps", "24")
    assert stvr(*words).status == 0
    assert labels_in(tmp_path / "a.csv") == {("1", "wave"), ("2", "jump")}
    assert stvr(*words, "--label", "move").status == 0
    assert labels_in(tmp_path / "a.csv") == {("1", "move"), ("2", "move")}
    assert stvr("import", file, "--format", "cvat", "--out", tmp_path / "a.jsonl", "--fps", "24").status == 0
    assert stvr("export", tmp_path / "a.jsonl", "--format", "cvat", "--out", tmp_path / "b.xml", "--fps",
                "24").status == 0
    text = (tmp_path / "b.xml").read_text()
    assert 'label="wave"' in text
    assert 'label="jump"' in text


def test_a_video_that_falls_away_is_told_by_the_exit_status_unless_it_may(stvr, tmp_path: Path):
    files = [cvat(tmp_path / "a.xml", "clip.mp4", box(0, "wave", 0, 24)),
             cvat(tmp_path / "b.xml", "other.mp4", box(0, "wave", 0, 24)), cvat(tmp_path / "c.xml", "c.mp4", POLYGON)]
    for words in (("import", *files, "--format", "cvat", "--out", tmp_path / "t.csv", "--fps", "24"),
                  ("prepare", "cvat", *files, "--fps", "24", "--out", tmp_path / "pairs.json")):
        ended = stvr(*words)
        assert ended.status == 1
        assert "1 tracks left out: they are no boxes but of the shape polygon (first: c.xml, track 9)" in ended.err
        assert "1 videos fell away as a whole: c" in ended.err.splitlines()[-1]
        assert "24 frames a second are assumed" in ended.err
        assert stvr(*words, "--accept-missing").status == 0
    ended = stvr("import", files[2], "--format", "cvat", "--out", tmp_path / "n.csv", "--fps", "24")
    assert (ended.status, ended.err.count("\n")) == (2, 1)
    assert not (tmp_path / "n.csv").exists()


def test_tubelets_that_avas_seconds_miss_are_counted(stvr, tmp_path: Path):
    found = [Found(name, 0.5, 96, 64, start, np.tile([10.0, 10.0, 40.0, 50.0], (count, 1)))
             for name, start, count in (("a.mp4", 0, 9), ("a.mp4", 2, 2), ("b.mp4", 6, 1))]
    write_found(tmp_path / "t.jsonl", found)
    words = ("export", tmp_path / "t.jsonl", "--format", "ava", "--out", tmp_path / "t.csv")
    ended = stvr(*words)
    assert ended.status == 1
    assert "t.csv: 1 tubelets as ava" in ended.out
    assert "2 tubelets left out: they hold no middle of a second" in ended.err
    assert "1 videos fell away as a whole: b.mp4" in ended.err
    assert stvr(*words, "--accept-missing").status == 0
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 3


def test_the_videos_own_stamps_are_used_both_ways_where_it_is_at_hand(stvr, tmp_path: Path):
    # 30 frames in the first second, 5 in each of the next two
    write_stamped(tmp_path / "clip.mp4", [each / 30 for each in range(30)] + [1 + each / 5 for each in range(10)])
    file = cvat(tmp_path / "a.xml", "clip.mp4", box(0, "wave", 30, 40))
    ended = stvr("import", file, "--format", "cvat", "--out", tmp_path / "a.csv", "--videos", tmp_path / "clip.mp4")
    assert (ended.status, ended.err) == (0, "")
    seconds = [float(row["seconds"]) for row in csv.DictReader((tmp_path / "a.csv").open())]
    assert (min(seconds), len(seconds)) == (1.0, 6)  # seconds 1 to 3: six clips
    stvr("import", file, "--format", "cvat", "--out", tmp_path / "a.jsonl", "--videos", tmp_path / "clip.mp4")
    ended = stvr("export", tmp_path / "a.jsonl", "--format", "mot", "--out", tmp_path / "a.txt", "--videos",
                 tmp_path / "clip.mp4")
    assert (ended.status, ended.err) == (0, "")
    lines = (tmp_path / "a.txt").read_text().splitlines()
    assert [int(line.split(",")[0]) for line in lines] == list(range(31, 41))


def test_tubelets_after_the_end_of_their_video_are_counted(stvr, tmp_path: Path):
    write_stamped(tmp_path / "a.mp4", [each / 24 for each in range(48)])  # two seconds: clips 0 to 5
    late, early = (Found("a.mp4", 0.5, 96, 64, start, np.tile([1.0, 1.0, 9.0, 9.0], (3, 1))) for start in (9, 4))
    write_found(tmp_path / "t.jsonl", [late, early])
    words = ("export", tmp_path / "t.jsonl", "--format", "mot", "--out", tmp_path / "a.txt", "--videos",
             tmp_path / "a.mp4")  # fmt: skip
    ended = stvr(*words)
    assert ended.status == 0
    assert ended.err == "stvr: 1 tubelets left out: their videos end before (first: a.mp4, 3 s)\n"
    assert (tmp_path / "a.txt").read_text().splitlines()[-1].startswith("48,1,")
    write_found(tmp_path / "t.jsonl", [late])
    ended = stvr(*words)
    assert (ended.status, ended.err.count("\n")) == (2, 1)


def test_a_line_of_tubelets_with_a_byte_order_mark_is_read(stvr, tmp_path: Path):
    write_found(tmp_path / "t.jsonl", [Found("a.mp4", 0.5, 96, 64, 0, np.array([[1.0, 1.0, 9.0, 9.0]]))])
    (tmp_path / "b.jsonl").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "t.jsonl").read_bytes())
    assert stvr("export", tmp_path / "b.jsonl", "--format", "webvtt", "--out", tmp_path / "a.vtt").status == 0
