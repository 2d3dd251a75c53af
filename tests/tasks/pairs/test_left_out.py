"""What `stvr prepare` does not use is counted in its last lines, and whole videos that fall away give status 1."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from film import write_film

from stvr.tasks.pairs.build import read_pairs

HEADER = "video,seconds,x1,y1,x2,y2,person,label\n"
BOX = ".1,.2,.5,.9"


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """a, b and "café" of two seconds, and two of one name in two folders."""
    folder = tmp_path_factory.mktemp("films")
    first = write_film(folder / "a.mp4", 48)
    for name in ("b", "cafe\u0301", "day1/clip", "day2/clip"):
        (folder / f"{name}.mp4").parent.mkdir(exist_ok=True)
        (folder / f"{name}.mp4").write_bytes(first.read_bytes())
    return folder
MAY = "; give --accept-missing if they may"


def prepared(stvr, tmp_path: Path, films: Path, text: str, *words: object, source: str = "table"):
    (tmp_path / "own.csv").write_text(text)
    return stvr("prepare", source, tmp_path / "own.csv", "--videos", films, "--out", tmp_path / "pairs.json", *words)


def rows(*videos: str, seconds: int = 2, label: str = "nod") -> str:
    return "".join(f"{video},{second},{BOX},p,{label}\n" for video in videos for second in range(seconds))


def test_videos_without_a_file_are_counted_and_give_status_1_unless_told(stvr, tmp_path: Path, films: Path):
    text = HEADER + rows("a", "b", "d", "e")
    ended = prepared(stvr, tmp_path, films, text)
    assert ended.status == 1
    assert ended.err.splitlines()[-2:] == [
        "stvr: 4 boxes of 2 whole videos left out: no video file has their name (first: 'd' at 0 s)",
        f"stvr: 2 videos fell away as a whole: d, e{MAY}"]
    assert len(read_pairs(tmp_path / "pairs.json")[0]) == 2
    assert prepared(stvr, tmp_path, films, text, "--accept-missing").status == 0


def test_moments_after_the_end_are_counted(stvr, tmp_path: Path, films: Path):
    ended = prepared(stvr, tmp_path, films, HEADER + rows("a", "b", seconds=5))
    assert ended.status == 0
    told = "6 boxes left out: they lie outside their video, or after its last whole clip (first: 'a' at 2 s)"
    assert told in ended.err.splitlines()[-1]
    ended = prepared(stvr, tmp_path, films, HEADER + rows("a", "b") + f"caf\u00e9,900,{BOX},p,nod\n")
    assert (ended.status, ended.err.splitlines()[-1]) == (1, f"stvr: 1 videos fell away as a whole: caf\u00e9{MAY}")


def test_tubelets_whose_label_makes_no_pair_are_counted(stvr, tmp_path: Path, films: Path):
    ended = prepared(stvr, tmp_path, films, HEADER + rows("a", "b") + f"a,1,{BOX},q,spin\n")
    assert "1 tubelets left out: their labels have too few tubelets or videos to make a pair (first: spin)" in ended.err
    assert ended.status == 0


def test_a_held_out_split_without_a_pair_is_said(stvr, tmp_path: Path, films: Path):
    ended = prepared(stvr, tmp_path, films, HEADER + rows("a", "b") + f"a,1,{BOX},q,spin\n", "--held-out", "spin")
    assert "held out for test, but no pair could be made of it" in ended.err


def test_labels_that_differ_in_capitals_alone_are_said(stvr, tmp_path: Path, films: Path):
    ended = prepared(stvr, tmp_path, films, HEADER + rows("a") + rows("b", label="Nod"))
    assert ended.status == 2
    assert "labels that differ in capitals or spaces alone: 'Nod', 'nod'" in ended.err


@pytest.mark.parametrize("names", [
    ("a.mp4", "b.mp4"), ("films/a", "films\\b.MP4"), ("a", "cafe\u0301"), ("a", "caf\u00e9"),
    ("day1/clip.mp4", "day2/clip"), ("x/day1/clip", "x/day2/clip.avi"),
])  # fmt: skip
def test_videos_are_found_with_ending_and_folder_and_in_either_unicode_form(stvr, tmp_path: Path, films: Path, names):
    ended = prepared(stvr, tmp_path, films, HEADER + rows(*names))
    assert ended.status == 0, ended.err
    assert {pair.query.span.video for pair in read_pairs(tmp_path / "pairs.json")[0]} <= {
        "a", "b", "caf\u00e9", "day1/clip", "day2/clip"}


def test_a_name_that_may_mean_two_files_means_neither(stvr, tmp_path: Path, films: Path):
    ended = prepared(stvr, tmp_path, films, HEADER + rows("a", "b", "clip"))
    assert (ended.status, ended.err.splitlines()[-1]) == (1, f"stvr: 1 videos fell away as a whole: clip{MAY}")


def test_excluded_rows_and_boxes_that_are_clipped_are_counted(stvr, tmp_path: Path, films: Path):
    (tmp_path / "excluded.csv").write_text("\ufeffa.mp4, 0.0\n")
    text = f"a,0,{BOX},1,0\na,1,.1,.2,1.01,.9,1,0\nb,0,{BOX},1,0\n"
    ended = prepared(stvr, tmp_path, films, text, "--excluded", tmp_path / "excluded.csv", "--held-out", "none",
                     source="ava")
    assert "1 rows left out: at excluded timestamps" in ended.err
    assert "1 boxes stick out of the picture and were clipped" in ended.err


def test_files_that_each_name_one_of_two_videos_of_one_stem_keep_them_apart(stvr, tmp_path: Path):
    for day in ("day1", "day2"):
        lines = [f"{day}/v.mp4,{frame},.1,.1,.4,.9,0,0\n" for frame in range(1, 26)]
        (tmp_path / f"{day}.csv").write_text("".join(lines))
    ended = stvr("prepare", "multisports", tmp_path / "day1.csv", tmp_path / "day2.csv", "--out", tmp_path / "p.json")
    assert ended.status == 0, ended.err
    assert {pair.query.span.video for pair in read_pairs(tmp_path / "p.json")[0]} == {"day1/v", "day2/v"}


def ucf(**changes: object) -> dict:
    return {"label": 2, "sf": 0, "ef": 20, "boxes": np.full((20, 4), 60, np.uint8)} | changes


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_of_any_protocol_of_python_3_is_read(stvr, tmp_path: Path, films: Path, protocol: int):
    content = {f"Biking/{name}": {"numf": 48, "label": 2, "annotations": [ucf()]} for name in ("a", "b")}
    (tmp_path / "pyannot.pkl").write_bytes(pickle.dumps(content, protocol))
    ended = stvr("prepare", "ucf101-24", tmp_path / "pyannot.pkl", "--videos", films, "--out", tmp_path / "p.json")
    assert ended.status == 0, ended.err


@pytest.mark.parametrize(("tubes", "says"), [
    ([ucf(), ucf(boxes=np.zeros((0, 4)), ef=0)],
     "1 tubes left out: they hold no box (first: pyannot.pkl, video 'Biking/c')"),
    ([], "1 videos left out: they hold no tube (first: pyannot.pkl, video 'Biking/c')"),
])  # fmt: skip
def test_empty_tubes_are_left_out_and_counted(stvr, tmp_path: Path, tubes: list, says: str):
    films = {name: write_film(tmp_path / f"{name}.mp4", 48) for name in "abc"}
    content = {f"Biking/{name}": {"numf": 48, "label": 2, "annotations": [ucf()]} for name in films}
    content["Biking/c"]["annotations"] = tubes
    (tmp_path / "pyannot.pkl").write_bytes(pickle.dumps(content))
    ended = stvr("prepare", "ucf101-24", tmp_path / "pyannot.pkl", "--videos", tmp_path, "--out", tmp_path / "p.json")
    assert (ended.status, says in ended.err) == (0 if tubes else 1, True), ended.err


def test_frames_that_their_video_does_not_have_are_left_out_and_counted(stvr, tmp_path: Path, films: Path):
    content = {f"Biking/{name}": {"numf": 15, "label": 2, "annotations": [ucf()]} for name in ("a", "b")}
    (tmp_path / "pyannot.pkl").write_bytes(pickle.dumps(content))
    ended = stvr("prepare", "ucf101-24", tmp_path / "pyannot.pkl", "--videos", films, "--out", tmp_path / "p.json")
    assert "5 boxes left out: they lie after the last of the video's 15 frames" in ended.err
    truth = {"labels": ["nod"], "nframes": {"c/v": 8}, "resolution": {"c/v": [240, 320]},
             "gttubes": {"c/v": {"0": [[[frame, 10, 10, 60, 60] for frame in range(1, 26)]]}}}
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    ended = stvr("prepare", "check", tmp_path / "gt.json", "--kind", "multisports")
    assert "17 boxes left out: they lie after the last of the video's 8 frames" in ended.out


@pytest.mark.parametrize(("tube", "says"), [
    (ucf(sf=-1, ef=19), "video 'Biking/a', tube 0: 20 boxes for frames -1 to 19"),
    (ucf(ef=19), "video 'Biking/a', tube 0: 20 boxes for frames 0 to 19"),
    (ucf(label=24), "video 'Biking/a', tube 0: label 24, wanted 0 to 23"),
    (ucf(boxes=np.zeros((20, 4))), "video 'a', frame 0: the box (0, 0, 0, 0) covers nothing"),
])  # fmt: skip
def test_a_tube_of_nonsense_is_refused_with_its_video(stvr, tmp_path: Path, films: Path, tube: dict, says: str):
    content = {"Biking/a": {"numf": 48, "label": 2, "annotations": [tube]}}
    (tmp_path / "pyannot.pkl").write_bytes(pickle.dumps(content))
    ended = stvr("prepare", "ucf101-24", tmp_path / "pyannot.pkl", "--videos", films, "--out", tmp_path / "p.json")
    assert (ended.status, ended.err.count("\n")) == (2, 1)
    assert says in ended.err


@pytest.mark.parametrize(("tube", "says"), [
    ([[frame, 10, 10, 60, 60] for frame in range(9)], "tube 0 of label 0 has frame 0, and frames are counted from 1"),
    ([[1, 10, 10, 60, 60]] * 2, "tube 0 of label 0 has two boxes in one frame"),
    ([[1.5, 10, 10, 60, 60]], "frames that are no whole numbers"),
    ([[1, 400, 10, 460, 60]], "video 'v', frame 0: the box (1.25, "),
])  # fmt: skip
def test_a_tube_in_acts_form_is_refused_with_its_video(stvr, tmp_path: Path, tube: list, says: str):
    truth = {"labels": ["nod"], "gttubes": {"c/v": {"0": [tube]}}, "resolution": {"c/v": [240, 320]}}
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    ended = stvr("prepare", "multisports", tmp_path / "gt.json", "--out", tmp_path / "p.json")
    assert (ended.status, ended.err.count("\n")) == (2, 1)
    assert says in ended.err
    assert "gt.json, video" in ended.err


def test_a_score_after_the_box_of_a_tube_is_not_read(stvr, tmp_path: Path):
    truth = {"labels": ["nod"], "resolution": {"c/v": [240, 320], "c/w": [240, 320]},
             "gttubes": {name: {"0": [[[frame, 10, 10, 60, 60, 0.9] for frame in range(1, 26)], []]}
                         for name in ("c/v", "c/w")}}
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    ended = stvr("prepare", "multisports", tmp_path / "gt.json", "--out", tmp_path / "p.json")
    assert ended.status == 0, ended.err
    assert "1 tubes left out: they hold no box (first: gt.json, video 'c/v')" in ended.err
    assert read_pairs(tmp_path / "p.json")[0][0].query.boxes[0].tolist() == pytest.approx(
        [10 / 320, 10 / 240, 60 / 320, 60 / 240], abs=1e-6)  # pairs files have six digits
