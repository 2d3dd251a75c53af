"""Promises of `stvr prepare` on real files: small videos of a few seconds, each in a folder of its class or sport."""

import json
from pathlib import Path

import av
import numpy as np
import pytest
from oddities import write_late
from scipy.io import savemat

from stvr.tasks.pairs.build import read_pairs


def film(path: Path, seconds: float, rate: int = 25) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height = 64, 48
        picture = np.full((48, 64, 3), 90, np.uint8)
        for _ in range(round(rate * seconds)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())


def test_multisports_finds_its_videos_below_the_sports(stvr, tmp_path: Path):
    lines = []
    for video in ("v_a_c001", "v_b_c001", "v_c_c001"):
        film(tmp_path / f"videos/football/{video}.mp4", 4)
        for action, first in ((0, 1), (1, 51)):
            lines += [f"football/{video}.mp4,{frame},0.1,0.1,0.5,0.5,{action},0" for frame in range(first, first + 25)]
    (tmp_path / "train.csv").write_text("\n".join(lines) + "\n")
    ended = stvr("prepare", "multisports", tmp_path / "train.csv", "--videos", tmp_path / "videos", "--held-out", "1",
                 "--out", tmp_path / "pairs.json")
    assert ended.status == 0, ended.err
    pairs, header = read_pairs(tmp_path / "pairs.json")
    assert header["held_out"] == {"test": ["1"]}
    asked = {(pair.split, pair.query.span.video, pair.query.span.start, pair.query.span.stop) for pair in pairs}
    assert asked == {(split, video, first, first + 3) for split, first in (("train", 0), ("test", 6))
                     for video in ("v_a_c001", "v_b_c001", "v_c_c001")}
    assert "of queries last 1 s" in ended.err
    check = stvr("prepare", "check", tmp_path / "train.csv", "--videos", tmp_path / "videos")
    assert check.status == 0, check.out


def test_annotations_in_seconds_meet_the_pictures_of_videos_that_begin_late(stvr, tmp_path: Path):
    (tmp_path / "videos").mkdir()
    rows = ["video,seconds,x1,y1,x2,y2,person,label"]
    for video in ("a", "b"):
        write_late(tmp_path / f"videos/{video}.mp4", late_seconds=2, seconds=4)  # pictures from 2 s to 6 s
        rows += [f"{video},{second},.1,.1,.5,.5,p,{label}" for second, label in ((0, "early"), (3, "nod"), (4, "nod"))]
    (tmp_path / "table.csv").write_text("\n".join(rows) + "\n")
    ended = stvr("prepare", "table", tmp_path / "table.csv", "--videos", tmp_path / "videos", "--held-out", "none",
                 "--out", tmp_path / "pairs.json")
    assert ended.status == 0, ended.err
    assert "2 boxes left out: they end before the first picture of their video" in ended.err
    queries = {(pair.query.span.start, pair.query.span.stop) for pair in read_pairs(tmp_path / "pairs.json")[0]}
    assert queries == {(3, 9)}  # 3 s to 5 s are 1 s to 3 s after the first picture, three clips in each


def test_jhmdb_trains_on_the_videos_of_its_split(stvr, tmp_path: Path):
    (tmp_path / "splits").mkdir()
    for action in ("wave", "catch"):
        listed = []
        for number in range(4):
            video = f"{action}{number}"
            film(tmp_path / f"videos/{action}/{video}.avi", 1.2)
            mask = np.zeros((48, 64, 30), np.uint8)
            mask[10:30, 5:25] = 1
            folder = tmp_path / "masks" / action / video
            folder.mkdir(parents=True)
            savemat(folder / "puppet_mask.mat", {"part_mask": mask})
            listed.append(f"{video}.avi {1 + number % 2}\n")
        (tmp_path / f"splits/{action}_test_split1.txt").write_text("".join(listed))
    ended = stvr("prepare", "jhmdb", tmp_path / "masks", "--videos", tmp_path / "videos", "--splits",
                 tmp_path / "splits", "--held-out", "wave", "--out", tmp_path / "pairs.json")
    assert ended.status == 0, ended.err
    pairs, _ = read_pairs(tmp_path / "pairs.json")
    assert {(pair.split, pair.query.span.video) for pair in pairs if pair.targets} == {
        ("train", "catch0"), ("train", "catch2"), ("test", "wave1"), ("test", "wave3")}
    np.testing.assert_allclose(pairs[0].query.boxes[0], [5 / 64, 10 / 48, 25 / 64, 30 / 48], atol=1e-6)


def cvat(path: Path, video: str, label: str) -> None:
    box = '<box frame="{}" outside="{}" occluded="0" keyframe="1" xtl="8" ytl="8" xbr="40" ybr="40" z_order="0"/>'
    path.write_text(f"""<annotations><version>1.1</version><meta><task><size>100</size><original_size><width>64</width>
<height>48</height></original_size><source>{video}.mp4</source></task></meta>
<track id="0" label="{label}">{box.format(25, 0)}{box.format(75, 1)}</track></annotations>""")


def test_cvats_files_share_their_labels(stvr, tmp_path: Path):
    for video, label in (("a", "nod"), ("b", "wave"), ("c", "nod"), ("d", "wave")):
        cvat(tmp_path / f"{video}.xml", video, label)
    files = [tmp_path / f"{video}.xml" for video in "abcd"]
    ended = stvr("prepare", "cvat", *files, "--fps", "25", "--protocol", "paper", "--held-out", "wave", "--out",
                 tmp_path / "pairs.json")
    assert ended.status == 0, ended.err
    pairs, header = read_pairs(tmp_path / "pairs.json")
    assert header["labels"] == {"1": "nod", "2": "wave"}
    assert header["protocol"] == "paper"
    assert {(pair.split, pair.query.span.video, pair.reference.video) for pair in pairs} == {
        ("train", "a", "c"), ("train", "c", "a"), ("test", "b", "d"), ("test", "d", "b")}
    assert stvr("prepare", "check", *files, "--fps", "25").status == 0


def test_info_shows_the_whole_audit(stvr, tmp_path: Path):
    cvat(tmp_path / "a.xml", "a", "nod")
    stvr("prepare", "cvat", tmp_path / "a.xml", "--fps", "25", "--protocol", "released", "--out", tmp_path / "p.json")
    said = json.loads(stvr("info", tmp_path / "p.json").out)["audit"]["train"]
    assert said["own_target"] == said["same_video"] == 1  # alone, it is its own reference
    assert said["support"] == {"1": {"pairs": 1, "targets": 1}}


@pytest.mark.parametrize(("words", "says"), [
    ("cvat {p}/a.xml --out {p}/x.json", "Give --videos, or --fps"),
    ("cvat {p}/none.xml --fps 25 --out {p}/x.json", "No such file"),
    ("multisports {p}/gt.pkl --out {p}/x.json", "is a pickle, which is not opened"),
    ("jhmdb {p} --videos {p}/videos --out {p}/x.json", "no class/video/puppet_mask.mat"),
    ("check {p}/a.xml", "Give --videos, or --fps"),
    ("check {p}/a.xml --kind coco", "the kind of annotations is one of"),
    ("check {p}/a.xml --fps 25 --decode", "--decode needs the videos"),
    ("check {p}/none.csv", "No such file"),
    ("check {p}/a.xml --fps 25 --pairs {p}/a.xml", "is not a pairs file"),
    ("cvat {p}/a.xml --fps 0 --out {p}/x.json", "the frame rate of 'a' is 0"),
    ("cvat {p}/a.xml --fps 25 --protocol fair --out {p}/x.json", "protocol"),
])
def test_a_fault_is_one_line_and_status_2(stvr, tmp_path: Path, words: str, says: str):
    cvat(tmp_path / "a.xml", "a", "nod")
    film(tmp_path / "videos/a.mp4", 1)
    (tmp_path / "gt.pkl").write_bytes(b"\x80\x04N.")
    ended = stvr("prepare", *words.format(p=tmp_path).split())
    assert ended.status == 2
    assert says in ended.err
    assert ended.err.count("\n") == 1
