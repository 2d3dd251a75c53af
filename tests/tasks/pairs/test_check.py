"""Promises of `stvr prepare check`: each fault, put in by hand, is found and named; nothing else is."""

import json
import shutil
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
import torch

from stvr.annotations.kinds import kind_of, read_rows
from stvr.annotations.rows import Rows
from stvr.structures import ClipSpec, Pair, Span, Tubelet
from stvr.tasks.pairs.faults import Report, Videos, check
from stvr.tasks.pairs.prepare import PairOptions
from stvr.tasks.pairs.truth_check import failing_labels

NAMES = {1: "nod", 2: "wave"}
GOOD = [(video, second, (0.1, 0.2, 0.5, 0.9), label, "0") for video in "abc" for second, label in ((1, 1), (4, 2))]


def rows(*more: tuple, good: list = GOOD, names: dict = NAMES) -> Rows:
    found = [{"line": line, "video": video, "person": person, "start": second, "stop": second + 1, "label": label,
              **dict(zip(("x1", "y1", "x2", "y2"), map(float, box), strict=True))}
             for line, (video, second, box, label, person) in enumerate([*good, *more], start=1)]
    return Rows("boxes.csv", pd.DataFrame(found), names)


def kinds(report: Report) -> list[str]:
    return [fault.kind for fault in report.faults]


def test_good_annotations_have_no_fault():
    report = check([rows()], Videos(dict.fromkeys("abc", 30)))
    assert not report.faults
    assert not report.notes
    assert report.seen == {"rows": 6, "boxes": 6, "videos": 3, "tubelets": 6, "pairs": 6}
    assert report.lines()[0] == "no fault found"


@pytest.mark.parametrize(("box", "kind", "place"), [
    ((0.1, 0.2, 1.02, 0.9), "outside", "line 7: a, person 1, 1 s, box 0.1, 0.2, 1.02, 0.9"),
    ((-0.001, 0.2, 0.5, 0.9), "outside", "line 7"),
    ((10, 20, 200, 100), "pixels", "line 7"),
    ((0.5, 0.2, 0.1, 0.9), "swapped", "line 7"),
    ((0.1, 0.2, 0.1, 0.9), "swapped", "line 7"),
    ((0.1, float("nan"), 0.5, 0.9), "not a number", "line 7"),
])
def test_a_box_that_is_wrong_is_named(box: tuple, kind: str, place: str):
    report = check([rows(("a", 1, box, 1, "1"))])
    assert kinds(report) == [kind]
    assert report.faults[0].count == 1
    assert report.faults[0].places[0].startswith(place)


def test_a_box_is_one_fault_however_many_labels_it_has():
    report = check([rows(("a", 1, (0.1, 0.2, 1.2, 0.9), 1, "1"), ("a", 1, (0.1, 0.2, 1.2, 0.9), 2, "1"))])
    assert [fault.count for fault in report.faults if fault.kind == "outside"] == [1]


def test_a_person_in_two_places_at_once_is_named():
    report = check([rows(("a", 1, (0.2, 0.2, 0.6, 0.9), 1, "0"))])
    assert kinds(report) == ["two boxes"]
    assert report.faults[0].places == ["a, person 0, 1 s"]


@pytest.mark.parametrize(("ids", "message"), [((0, 1), "Add 1 to every id"), ((2, 3), "Subtract 1 from every id")])
def test_ids_that_are_off_by_one_are_told(ids: tuple[int, int], message: str):
    shifted = [(*row[:3], ids[row[3] - 1], row[4]) for row in GOOD]
    (fault,) = check([rows(good=shifted)]).faults
    assert fault.kind == "label offset"
    assert message in fault.message


def test_an_id_that_nobody_has_named_is_told():
    report = check([rows(*((video, 7, (0, 0, 1, 1), 9, "0") for video in "ab"))])
    assert kinds(report) == ["unknown label"]
    assert report.faults[0].places == ["id 9 on 2 rows"]


def test_a_moment_after_the_end_of_its_video_is_named():
    report = check([rows()], Videos({"a": 12, "b": 30, "c": 30}))  # a lasts 4 s: second 4 is not in it
    assert kinds(report) == ["outside the video"]
    assert report.faults[0].places == ["line 2: a at 4 s, the file lasts 4.00 s"]


def test_a_moment_after_the_last_whole_clip_is_still_in_its_video():
    videos = Videos({"a": 12, "b": 30, "c": 30}, seconds={"a": 4.3})
    assert kinds(check([rows()], videos)) == []
    (fault,) = check([rows(("a", 4.3, (0.1, 0.2, 0.5, 0.9), 1, "0"))], videos).faults
    assert fault.places == ["line 7: a at 4.3 s, the file lasts 4.30 s"]


def test_moments_are_held_against_the_videos_clock():
    clips = {"a": 12, "b": 30, "c": 30}
    late = Videos(clips, offsets={"a": 1.0})  # its pictures are there from 1 s to 5 s
    assert kinds(check([rows()], late)) == []
    later = check([rows()], Videos(clips, offsets={"a": 0.5}))  # until 4.5 s: second 4 has begun
    assert kinds(later) == []
    (fault,) = check([rows(("a", 6, (0.1, 0.2, 0.5, 0.9), 1, "0"))], late).faults
    assert fault.places == ["line 7: a at 6 s, the file lasts 5.00 s"]


def test_seconds_that_count_from_the_start_of_a_cut_film_are_told():
    late = [(video, 900 + second, *rest) for video, second, *rest in GOOD]
    with pytest.raises(LookupError, match="no annotated moment"):
        raise_if_empty(check([rows(good=late)], Videos(dict.fromkeys("abc", 2700))))


def raise_if_empty(report: Report) -> None:
    assert "--offset-seconds 900" in next(f for f in report.faults if f.kind == "outside the video").message
    if not report.seen["tubelets"]:
        raise LookupError("no annotated moment")


def test_videos_without_a_file_and_files_that_cannot_be_read_are_named():
    report = check([rows()], Videos({"a": 30, "d": 30}, {"b": "broken"}))
    assert kinds(report)[:2] == ["missing video", "undecodable video"]
    assert report.faults[0].places == ["c"]
    assert report.faults[1].places == ["b: broken"]
    assert [note.places for note in report.notes if note.kind == "video without a box"] == [["d"]]


def test_an_action_without_any_pair_is_a_fault_and_one_that_nobody_does_a_note():
    report = check([rows(("a", 9, (0, 0, 1, 1), 3, "0"), names={**NAMES, 3: "bow", 4: "spin"})])
    assert kinds(report) == ["no pair"]
    assert report.faults[0].places == ["3 bow"]
    assert [note.places for note in report.notes] == [["3"], ["4 spin"]]
    alone = check([rows(("a", 9, (0, 0, 1, 1), 3, "0"), names={**NAMES, 3: "bow"})],
                  options=PairOptions(protocol="released"))
    assert not alone.faults  # it may be its own reference


def test_an_oracle_that_cannot_match_one_of_two_equal_boxes_is_named():
    report = check([rows(("b", 1, (0.1, 0.2, 0.5, 0.9), 1, "1"))], options=PairOptions(absent_share=0))
    assert kinds(report) == ["oracle"]
    assert "label 1: AP " in report.faults[0].places[0]
    assert "2 true boxes, 2 annotated, 1 matched" in report.faults[0].places[0]


def test_pairs_of_other_annotations_are_found_out():
    def pair(edge: float) -> Pair:
        target = Tubelet(Span("b", 3, 6), torch.tensor([edge, 0.2, edge + 0.4, 0.9]).repeat(3, 1))
        return Pair(Tubelet(Span("a", 3, 6), target.boxes), Span("b", 0, 9), (target,), "1")

    annotations = rows().checked()
    assert failing_labels([pair(0.1)], annotations, ClipSpec()) == {}
    (line,) = failing_labels([pair(0.5)], annotations, ClipSpec()).values()
    assert line == "label 1: AP 0.0000, first in 'b', clip 3: 1 true boxes, 1 annotated, 0 matched"
    gone = Pair(pair(0.1).query, Span("b", 0, 9), (), "1")
    assert "0 true boxes, 1 annotated" in failing_labels([gone], annotations, ClipSpec())["1"]


def test_the_boxes_of_the_animals_outside_the_picture_are_named(shared: Path):
    path = shared / "data/annotations/ava_format_animals/ava_train_v2.1.csv"
    wanted = [number for number, line in enumerate(path.read_text().splitlines(), start=1)
              if any(not 0 <= float(edge) <= 1 for edge in line.split(",")[2:6])]
    report = check(read_rows([path], None, {}))
    assert kinds(report) == ["outside"]
    assert [int(place.split(":")[0].removeprefix("line ")) for place in report.faults[0].places] == wanted
    assert len(wanted) == 16


def test_tubes_of_ucf101_24_that_stand_twice_are_found(shared: Path):
    """Counted here by comparing the tubes of each video of three classes with one another."""
    from stvr.annotations.ucf101_24 import read_tubes

    path = shared / "data/annotations/ucf101-24/pyannot.pkl"
    twice, some = set(), ("v_CliffDiving", "v_CricketBowling", "v_Surfing")
    videos = {video: content for video, content in read_tubes(path).items() if video.split("/")[-1].startswith(some)}
    for video, content in videos.items():
        seen: list[dict] = []
        for tube in content["annotations"]:
            boxes = {(tube["sf"] + place): tuple(map(int, box)) for place, box in enumerate(tube["boxes"])}
            if any(other.get(frame) == box for other in seen for frame, box in boxes.items()):
                twice.add(video.split("/")[-1])
            seen.append(boxes)
    report = check(read_rows([path], None, {"frame_rates": dict.fromkeys(videos, 25.0)}))
    named = next(fault for fault in report.faults if fault.kind == "oracle").places
    assert [line.split(":")[0] for line in named] == ["label 4", "label 5"]  # and Surfing, 20, has none
    assert {line.split("'")[1] for line in named} <= twice


def test_the_kind_of_a_file_is_told_by_the_file(tmp_path: Path):
    for name, text, kind in (("a.csv", "v,1,0,0,1,1,1,0\n", "ava"), ("b.csv", "s/v.mp4,1,0,0,1,1,1,0\n", "multisports"),
                             ("c.csv", "label,video,seconds,x1,y1,x2,y2,person\n", "table"), ("d.xml", "", "cvat"),
                             ("e.pkl", "", "ucf101-24"), ("f.json", "", "multisports")):
        (tmp_path / name).write_text(text)
        assert kind_of(tmp_path / name) == kind
    assert kind_of(tmp_path) == "jhmdb"
    with pytest.raises(ValueError, match=r"several kinds \(ava, table\)"):
        read_rows([tmp_path / "a.csv", tmp_path / "c.csv"], None, {})
    with pytest.raises(ValueError, match=r"one of ava, .*not 'coco'"):
        read_rows([tmp_path / "a.csv"], "coco", {})
    with pytest.raises(ValueError, match="Give --videos, or --fps"):
        read_rows([tmp_path], None, {})


def film(path: Path, seconds: float) -> None:
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=24)
        stream.width, stream.height = 64, 48
        rng = np.random.default_rng(0)
        for _ in range(round(24 * seconds)):
            picture = rng.integers(0, 255, (48, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "videos").mkdir()
    for video in "abc":
        film(tmp_path / f"videos/{video}.avi", 6)
    (tmp_path / "map.pbtxt").write_text('item { name: "nod" id: 1 }\nitem { name: "wave" id: 2 }\n')
    (tmp_path / "ava.csv").write_text("".join(
        f"{video},{second:04d},{','.join(map(str, box))},{label},{person}\n"
        for video, second, box, label, person in GOOD))
    return tmp_path


def test_the_command_ends_with_0_1_and_2(stvr, place: Path):
    asked = ["prepare", "check", place / "ava.csv", "--labels", place / "map.pbtxt", "--videos", place / "videos"]
    ended = stvr(*asked, "--decode")
    assert (ended.status, ended.out.splitlines()[0]) == (0, "no fault found"), ended.out
    (place / "videos/c.avi").unlink()
    ended = stvr(*asked)
    assert ended.status == 1
    assert "fault: ava.csv: 1 of 3 videos have no file\n  c\n" in ended.out
    ended = stvr(*asked, "--json")
    assert ended.status == 1
    said = json.loads(ended.out)
    assert not said["clean"]
    assert said["faults"][0]["places"] == ["c"]
    (place / "ava.csv").write_text("a,1,0,0,1,1,1\n")
    ended = stvr(*asked)
    assert ended.status == 2
    assert ended.err.count("\n") == 1


def test_a_video_that_breaks_in_the_middle_is_found_by_decoding_it(stvr, place: Path):
    (place / "videos/b.avi").unlink()
    film(place / "videos/b.mp4", 6)
    content = bytearray((place / "videos/b.mp4").read_bytes())
    begin = content.index(b"mdat") + len(content) // 3
    content[begin : begin + len(content) // 3] = bytes(len(content) // 3)  # the index of the packets is whole
    (place / "videos/b.mp4").write_bytes(content)
    asked = ["prepare", "check", place / "ava.csv", "--videos", place / "videos"]
    assert stvr(*asked).status == 0  # the first frame is there
    ended = stvr(*asked, "--decode")
    assert ended.status == 1
    assert "1 videos cannot be read\n  b: " in ended.out
    assert "breaks while decoding" in ended.out


def test_a_pairs_file_is_held_against_its_annotations(stvr, place: Path):
    shutil.copy(place / "ava.csv", place / "old.csv")
    assert stvr("prepare", "ava", place / "ava.csv", "--held-out", "none", "--out", place / "p.json").status == 0
    assert stvr("prepare", "check", place / "ava.csv", "--pairs", place / "p.json").status == 0
    moved = (place / "ava.csv").read_text().replace("0.1,0.2,0.5,0.9,2", "0.6,0.2,0.9,0.9,2")
    (place / "ava.csv").write_text(moved)
    ended = stvr("prepare", "check", place / "ava.csv", "--pairs", place / "p.json")
    assert ended.status == 1
    assert "do not reach AP 1 for 1 labels\n  label 2: AP 0.0000" in ended.out
