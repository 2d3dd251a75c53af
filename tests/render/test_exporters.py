"""Promises of export and import: what comes back is what went out, and other tools can read what lies between."""

import csv
import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stvr.annotations.ava import read_ava
from stvr.annotations.cvat import read_cvat
from stvr.annotations.table import read_table
from stvr.jobs.locate import Answer
from stvr.render.exporters import IMPORTS, export_file, import_file, read_found, write_found, write_table
from stvr.render.exporters.records import Found
from stvr.structures import ClipSpec, Span, Tubelet
from stvr.video_names import plain_name

LOSSLESS = [form for form in IMPORTS if form != "ava"]


@st.composite
def boxes(draw: st.DrawFn, width: int, height: int, count: int) -> np.ndarray:
    """(count, 4) in hundredths of a pixel, at least a pixel wide and high."""
    drawn = []
    for _ in range(count):
        x1, y1 = (draw(st.integers(0, 100 * (side - 1))) for side in (width, height))
        drawn.append((x1, y1, draw(st.integers(x1 + 100, 100 * width)), draw(st.integers(y1 + 100, 100 * height))))
    return np.array(drawn, float) / 100


@st.composite
def tubelets(draw: st.DrawFn, whole_seconds: bool = False) -> list[Found]:
    """Of one to three videos; with whole_seconds, such as AVA can hold."""
    found = []
    names = st.text(st.characters(categories=("L", "N"), include_characters=" _-&<>'%;="), min_size=1, max_size=8)
    for index in range(draw(st.integers(1, 3))):
        name, size = draw(names.filter(str.strip)), (draw(st.integers(2, 4000)), draw(st.integers(2, 4000)))
        for _ in range(draw(st.integers(1, 3))):
            start, count = draw(st.integers(0, 30_000)), draw(st.integers(1, 7))
            score = draw(st.integers(0, 10**6)) / 10**6
            inside = draw(boxes(*size, count))
            if whole_seconds:
                start, inside = 3 * (start % 1800), inside.repeat(3, axis=0)
            found.append(Found(f"{index}{name.strip()}", 1.0 if whole_seconds else score, *size, start, inside))
    return found


def plain(found: list[Found]) -> list[tuple]:
    return sorted((each.reference, each.score, each.width, each.height, each.start, each.boxes.tolist())
                  for each in found)


def back(found: list[Found], form: str, folder: Path, **options) -> list[Found]:
    paths = export_file(found, form, folder / "out", label="7", fps=options.get("fps", 25.0))
    given = {name: value for name, value in options.items() if name in ("fps", "size")}
    if form == "cvat":
        given["fps"] = options.get("fps", 25.0)
    return [each for path in paths if path.suffix != ".ini" for each in import_file(path, form, **given)]


@pytest.mark.parametrize("form", LOSSLESS)
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=tubelets(), fps=st.sampled_from([3.0, 5.0, 24.0, 25.0, 30000 / 1001, 60.0]))
def test_what_is_exported_comes_back_to_the_hundredth_of_a_pixel(form: str, found: list[Found], fps: float,
                                                                 tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("exchange")
    assert plain(back(found, form, folder, fps=fps)) == plain(found)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=tubelets(whole_seconds=True))
def test_ava_brings_back_tubelets_of_whole_seconds(found: list[Found], tmp_path_factory: pytest.TempPathFactory):
    for each in found:
        folder = tmp_path_factory.mktemp("ava")
        named = replace(each, reference=plain_name(each.reference))
        assert plain(back([each], "ava", folder, size=(each.width, each.height))) == plain([named])


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=tubelets())
def test_tubelets_jsonl_comes_back(found: list[Found], tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("lines") / "tubelets.jsonl"
    assert write_found(path, found) == len(found)
    assert plain(read_found(path)) == plain(found)


def one(start: int = 3, count: int = 6, reference: str = "films/a.mp4") -> Found:
    edges = np.array([[10, 20, 110 + clip, 220] for clip in range(count)], float)
    return Found(reference, 0.875, 640, 360, start, edges)


def test_the_lines_that_locate_writes_are_read(tmp_path: Path):
    tubelet = Tubelet(Span("a", 4, 6), np_tensor([[0.1, 0.2, 0.5, 0.6], [0.2, 0.2, 0.5, 0.6]]), 0.25)
    answer = Answer(Path("films/a.mp4"), ClipSpec(), 200, 100, 9.0, [tubelet])
    (tmp_path / "tubelets.jsonl").write_text("".join(json.dumps(line) + "\n" for line in answer.to_json()))
    found = read_found(tmp_path / "tubelets.jsonl")
    assert plain(found) == [("films/a.mp4", 0.25, 200, 100, 4, [[20, 20, 100, 60], [40, 20, 100, 60]])]
    write_found(tmp_path / "again.jsonl", found)
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "tubelets.jsonl").read_bytes()


# A video whose pictures begin 2.1 s after its sound: clip 4, from 4 / 3 s after the first picture, is at 3.4333 s.
def test_seconds_are_those_of_the_videos_clock_in_every_file(tmp_path: Path):
    tubelet = Tubelet(Span("a", 4, 6), np_tensor([[0.1, 0.2, 0.5, 0.6], [0.2, 0.2, 0.5, 0.6]]), 0.25)
    answer = Answer(Path("films/a.mp4"), ClipSpec(), 200, 100, 1.9, [tubelet], offset_seconds=2.1)
    (line,) = answer.to_json()
    begin = 2.1 + 4 / 3
    assert line["start_seconds"] == pytest.approx(begin)
    assert line["stop_seconds"] == pytest.approx(4.0)  # where the video ends
    assert [each["seconds"] for each in line["boxes"]] == pytest.approx([begin, begin + 1 / 3])
    (tmp_path / "tubelets.jsonl").write_text(json.dumps(line) + "\n")
    found = read_found(tmp_path / "tubelets.jsonl")
    write_found(tmp_path / "again.jsonl", found)
    again = json.loads((tmp_path / "again.jsonl").read_text())
    assert [each["seconds"] for each in again["boxes"]] == pytest.approx([begin, begin + 1 / 3])
    write_table(tmp_path / "a.csv", found, "wave")
    rows = [row.split(",") for row in (tmp_path / "a.csv").read_text().splitlines()[1:]]
    assert [float(row[1]) for row in rows] == pytest.approx([begin, begin + 1 / 3])
    export_file(found, "webvtt", tmp_path / "a.vtt", label="wave")
    cues = [text for text in (tmp_path / "a.vtt").read_text().splitlines() if "-->" in text]
    assert cues == ["00:00:03.433 --> 00:00:03.767", "00:00:03.767 --> 00:00:04.100"]
    (back,) = import_file(tmp_path / "a.vtt", "webvtt")
    assert back.seconds_at(back.start) == pytest.approx(begin, abs=0.001)
    assert back.boxes.tolist() == found[0].boxes.tolist()


def np_tensor(rows: list[list[float]]):
    import torch

    return torch.tensor(rows)


# One tubelet over clips 3 to 8, that is seconds 1 to 3; at 24 frames a second, frames 24 to 71.

def test_cvats_file_reads_as_annotations_and_ends_outside(tmp_path: Path):
    export_file([one()], "cvat", tmp_path / "a.xml", label="wave", fps=24)
    annotations = read_cvat(tmp_path / "a.xml", 24.0).checked()
    assert annotations.names == {1: "wave"}
    assert annotations.boxes["start"].min() == 1
    assert annotations.boxes["stop"].max() == 3
    assert set(annotations.boxes["video"]) == {"films/a"}
    shapes = ET.parse(tmp_path / "a.xml").getroot().findall("track/box")
    assert [shape.get("outside") for shape in shapes] == ["0"] * 48 + ["1"]
    assert (shapes[0].get("frame"), shapes[-1].get("frame")) == ("24", "72")


def test_ava_takes_the_middle_of_each_second_and_prepare_reads_it(tmp_path: Path):
    export_file([one()], "ava", tmp_path / "a.csv", label="12")
    rows = [line.split(",") for line in (tmp_path / "a.csv").read_text().splitlines()]
    assert [row[:2] + row[6:] for row in rows] == [["a", "0001", "12", "0"], ["a", "0002", "12", "0"]]
    assert [float(row[4]) * 640 for row in rows] == pytest.approx([111, 114], abs=1e-3)  # clips 4 and 7: 1.5 and 2.5 s
    assert len(read_ava(tmp_path / "a.csv").checked().boxes) == 2
    export_file([one()], "ava-detections", tmp_path / "d.csv", label="12")
    assert (tmp_path / "d.csv").read_text().splitlines()[0].split(",")[6:] == ["12", "0.875000"]


def test_mot_counts_frames_and_pixels_from_one(tmp_path: Path):
    export_file([one()], "mot", tmp_path / "a.txt", fps=24)
    lines = (tmp_path / "a.txt").read_text().splitlines()
    assert len(lines) == 48
    assert lines[0] == "25,1,11.00,21.00,100.00,200.00,0.875,-1,-1,-1"
    ini = (tmp_path / "a.ini").read_text()
    assert "[Sequence]" in ini
    assert "frameRate=24" in ini
    assert "imWidth=640" in ini


def test_coco_video_joins_by_ids_and_boxes_are_corner_and_sides(tmp_path: Path):
    export_file([one(), one(4), one(reference="b.mp4")], "coco-video", tmp_path / "a.json", fps=24)
    content = json.loads((tmp_path / "a.json").read_text())
    images = {image["id"]: image for image in content["images"]}
    assert len(images) == len(content["images"]) == 48 + 8 + 48
    assert [video["name"] for video in content["videos"]] == ["films/a.mp4", "b.mp4"]
    first = content["annotations"][0]
    assert first["bbox"] == [10, 20, 100, 200]
    assert first["area"] == 20_000
    assert images[first["image_id"]]["frame_id"] == 24
    assert {(each["video_id"], each["instance_id"]) for each in content["annotations"]} == {(1, 1), (1, 2), (2, 1)}


def test_fiftyone_has_shares_frames_from_one_and_when_it_happens(tmp_path: Path):
    export_file([one()], "fiftyone", tmp_path / "a.json", label="wave", fps=24)
    (sample,) = json.loads((tmp_path / "a.json").read_text())["samples"]
    assert sample["filepath"] == "films/a.mp4"
    assert sample["events"]["detections"][0]["support"] == [25, 72]
    assert next(iter(sample["frames"])) == "25"
    detection = sample["frames"]["25"]["detections"]["detections"][0]
    assert detection["bounding_box"] == pytest.approx([10 / 640, 20 / 360, 100 / 640, 200 / 360])
    assert (detection["label"], detection["confidence"], detection["index"]) == ("wave", 0.875, 1)


def test_webvtt_has_a_cue_a_clip(tmp_path: Path):
    export_file([one()], "webvtt", tmp_path / "a.vtt", label="<b>-->")
    text = (tmp_path / "a.vtt").read_text()
    assert text.startswith("WEBVTT\n\n")
    assert "\n00:00:01.000 --> 00:00:01.333\n" in text
    assert "\n00:00:02.667 --> 00:00:03.000\n" in text
    assert text.count("-->") == 6
    assert "<" not in text


def test_several_videos_make_a_folder_where_a_file_holds_one(tmp_path: Path):
    paths = export_file([one(), one(reference="b.mp4")], "webvtt", tmp_path / "cues")
    assert [path.name for path in paths] == ["a.vtt", "b.vtt"]
    paths = export_file([one(), one(reference="other/a.mp4")], "mot", tmp_path / "tracks", fps=24)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "tracks/films/a.txt", "tracks/films/a.ini", "tracks/other/a.txt", "tracks/other/a.ini"]
    with pytest.raises(ValueError, match="would both be called 'films/a'"):
        export_file([one(), one(reference="films/a.mkv")], "mot", tmp_path / "tracks", fps=24)


def test_a_foreign_track_is_cut_where_it_is_not_seen(tmp_path: Path):
    frames = [*range(1, 17), *range(33, 41)]  # of MOT, from 1: clips 0, 1 and 4
    (tmp_path / "a.txt").write_text("".join(f"{frame},3,{frame},1,10,20,0.5,-1,-1,-1\n" for frame in frames))
    found = import_file(tmp_path / "a.txt", "mot", fps=24, size=(100, 50))
    # the middle frame of a clip, of frames 0..7 the one with index 4, lies at left 4
    assert [(each.start, each.stop, each.boxes[:, 0].tolist()) for each in found] == [(0, 2, [4, 12]), (4, 5, [36])]


def test_a_table_of_what_was_found_is_what_prepare_table_reads(tmp_path: Path):
    write_table(tmp_path / "boxes.csv", [one()], "wave")
    boxes = read_table(tmp_path / "boxes.csv").checked().boxes
    assert len(boxes) == 6
    assert boxes["start"].iloc[0] == 1
    assert boxes["x1"].iloc[0] == pytest.approx(10 / 640)
    assert next(csv.DictReader((tmp_path / "boxes.csv").open()))["label"] == "wave"


@pytest.mark.parametrize(("form", "text", "says"), [
    ("mot", "1,2,3\n", "line 1: wanted frame,id"),
    ("coco-video", "{}", "the file has no 'videos'; it has nothing"),
    ("coco-video", "[", "a.in is not JSON: line 1"),
    ("coco-video", '{"videos": [3], "images": []}', r"videos\[0\] of the file is a int, wanted an object"),
    ("fiftyone", '{"samples": [{}]}', "a sample has no 'filepath'"),
    ("fiftyone", '{"samples": [{"filepath": "a", "metadata": 3}]}', "'metadata' of a is a int, wanted an object"),
    ("fiftyone", "[]", "the file is a list, wanted an object with the key 'samples'"),
    ("webvtt", "WEBVTT\n\n00:00.000 --> 00:01.000\nhello\n", "NOTE stvr"),
    ("cvat", "<annotations/>", "not a `CVAT for video 1.1` file"),
    ("ava", "v,1,0.1,0.1,0.2,0.2,1\n", "7: files without a person id"),
    ("csv", "", "there is no format 'csv'. Choose one of ava, coco-video"),
])
def test_a_file_of_another_format_is_one_line(tmp_path: Path, form: str, text: str, says: str):
    (tmp_path / "a.in").write_text(text)
    with pytest.raises(ValueError, match=says) as refusal:
        import_file(tmp_path / "a.in", form, fps=24, size=(100, 50))
    assert "\n" not in str(refusal.value)


def test_what_a_file_does_not_say_is_asked_for(tmp_path: Path):
    (tmp_path / "a.csv").write_text("v,1,0.1,0.1,0.2,0.2,1,0\n")
    with pytest.raises(ValueError, match="Give --size"):
        import_file(tmp_path / "a.csv", "ava")
    (tmp_path / "a.txt").write_text("1,1,1,1,10,20,0.5,-1,-1,-1\n")
    with pytest.raises(ValueError, match="Give --size"):
        import_file(tmp_path / "a.txt", "mot", fps=24)
    with pytest.raises(ValueError, match="Give --fps"):
        import_file(tmp_path / "a.txt", "mot", size=(100, 50))
    with pytest.raises(ValueError, match="Give --fps"):
        export_file([one()], "cvat", tmp_path / "a.xml")
    with pytest.raises(ValueError, match="at least 3 a second, so that every clip has a frame, got"):
        export_file([one()], "cvat", tmp_path / "a.xml", fps=2)
    with pytest.raises(ValueError, match="ids of actions, not a name such as 'wave'"):
        export_file([one()], "ava", tmp_path / "b.csv", label="wave")


def test_a_broken_line_of_tubelets_is_named(tmp_path: Path):
    write_found(tmp_path / "t.jsonl", [one()])
    for broken in ("{", "{}", "[]", (tmp_path / "t.jsonl").read_text().replace("1.3333333333333333", "9.5")):
        (tmp_path / "b.jsonl").write_text("\n" + broken)
        with pytest.raises(ValueError, match=r"b\.jsonl, line 2"):
            read_found(tmp_path / "b.jsonl")


def test_the_commands_bring_tubelets_there_and_back(stvr, tmp_path: Path):
    write_found(tmp_path / "tubelets.jsonl", [one(), one(9)])
    for form in LOSSLESS:
        ended = stvr("export", tmp_path / "tubelets.jsonl", "--format", form, "--out", tmp_path / "f", "--fps", "24")
        assert ended.status == 0, ended.err
        ended = stvr("import", tmp_path / "f", "--format", form, "--out", tmp_path / "back.jsonl", "--fps", "24")
        assert ended.status == 0, ended.err
        assert plain(read_found(tmp_path / "back.jsonl")) == plain(read_found(tmp_path / "tubelets.jsonl"))
    ended = stvr("import", tmp_path / "f", "--format", "webvtt", "--out", tmp_path / "back.csv")
    assert len(read_table(tmp_path / "back.csv").checked().boxes) == 12
    for words in (("export", tmp_path / "f", "--format", "mot", "--out", tmp_path / "g"),
                  ("import", tmp_path / "f", "--format", "ava", "--out", tmp_path / "g", "--size", "3by4"),
                  ("import", tmp_path / "none", "--format", "cvat", "--out", tmp_path / "g", "--fps", "24")):
        ended = stvr(*words)
        assert ended.status == 2
        assert ended.err.count("\n") == 1


def test_a_folder_of_answers_is_refused_with_what_to_name(tmp_path: Path):
    with pytest.raises(OSError, match=r"is a folder\. Name the tubelets\.jsonl in it\."):
        read_found(tmp_path)
