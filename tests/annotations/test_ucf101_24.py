"""Promises of the UCF101-24 reader: the traps of pyannot.pkl, and that nothing but data leaves a pickle."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from stvr.annotations.labelled import link_annotations
from stvr.annotations.ucf101_24 import CLASSES, Ucf101Options, read_tubes, read_ucf101_24, train_videos

EDGES = ["x1", "y1", "x2", "y2"]


def pickled(tmp_path: Path, content: object) -> Path:
    (tmp_path / "annot.pkl").write_bytes(pickle.dumps(content, protocol=3))
    return tmp_path / "annot.pkl"


def video(boxes: np.ndarray, start: int = 0) -> dict:
    tube = {"label": 2, "sf": start, "ef": start + len(boxes), "boxes": boxes}
    return {"Biking/v_Biking_g01_c01": {"numf": np.uint8(200), "label": 2, "annotations": [tube]}}


@pytest.fixture(scope="module")
def real(shared: Path) -> Path:
    return shared / "data/annotations/ucf101-24/pyannot.pkl"


def test_all_4458_tubes_load_with_no_box_wider_than_its_picture(real: Path):
    boxes = read_ucf101_24(real, dict.fromkeys(read_tubes(real), 25.0)).checked().boxes
    assert boxes.groupby(["video", "person"]).ngroups == 4458
    assert boxes[EDGES].to_numpy().min() >= 0
    assert boxes[EDGES].to_numpy().max() <= 1
    assert (boxes.x2 > boxes.x1).all()
    assert (boxes.y2 > boxes.y1).all()


def test_boxes_agree_with_the_list_made_from_the_same_file(real: Path, shared: Path):
    videos = json.loads((shared / "data/annotations/ucf101-24/annotated_videos.json").read_text())
    boxes = read_ucf101_24(real, {entry["video_id"]: entry["fps"] for entry in videos}).checked().boxes
    for entry in videos:
        for person, tube in enumerate(entry["tubes"]):
            rows = boxes[(boxes.video == entry["video_id"]) & (boxes.person == str(person))]
            wanted = np.array(tube["boxes_xywh_in_320x240"], float) / (320, 240, 320, 240)
            wanted[:, 2:] += wanted[:, :2]
            np.testing.assert_allclose(rows[EDGES], wanted.clip(0, 1), atol=1e-6)
            frames = np.arange(tube["start_frame"], tube["end_frame_exclusive"])
            np.testing.assert_allclose(rows.start * entry["fps"], frames, atol=1e-6)
            assert {CLASSES[label - 1] for (label,) in rows.labels} == {entry["class_name"]}


def test_uint8_boxes_are_widened_before_they_overflow(tmp_path: Path):
    path = pickled(tmp_path, video(np.full((8, 4), 160, np.uint8)))  # 160 + 160 = 64 in uint8
    row = read_ucf101_24(path, {"v_Biking_g01_c01": 25}).checked().boxes.iloc[0]
    assert [row.x1, row.y1, row.x2, row.y2] == pytest.approx([0.5, 2 / 3, 1, 1])


def test_a_clip_takes_the_box_of_the_frame_at_its_middle(tmp_path: Path):
    boxes = np.array([[frame, 0, 10, 10] for frame in range(60)], np.uint8)
    annotations = read_ucf101_24(pickled(tmp_path, video(boxes)), {"v_Biking_g01_c01": 30}).checked()
    tubelet = link_annotations(annotations)[0].tubelet  # 2 s at 30 frames a second: middles at 1/6, 1/2, ... s
    assert (tubelet.span.start, tubelet.span.stop) == (0, 6)
    np.testing.assert_allclose(tubelet.boxes[:, 0] * 320, [5, 15, 25, 35, 45, 55], atol=1e-4)


def test_a_tube_that_starts_late_leaves_the_clips_before_it_empty(tmp_path: Path):
    annotations = read_ucf101_24(pickled(tmp_path, video(np.full((30, 4), 50, np.uint8), start=30)),
                                 {"v_Biking_g01_c01": 30}).checked()
    span = link_annotations(annotations)[0].span
    assert (span.start, span.stop) == (3, 6)


def test_only_videos_whose_frame_rate_is_known_are_kept(tmp_path: Path):
    content = video(np.full((8, 4), 9, np.uint8)) | {"Diving/v_Diving_g01_c01": video(np.ones((1, 4)))
                                                     ["Biking/v_Biking_g01_c01"]}
    annotations = read_ucf101_24(pickled(tmp_path, content), {"v_Biking_g01_c01": 25}).checked()
    assert set(annotations.boxes.video) == {"v_Biking_g01_c01"}
    with pytest.raises(LookupError, match="annotates 2 videos, none among the 1 given"):
        read_ucf101_24(pickled(tmp_path, content), {"v_Surfing_g01_c01": 25}).checked()


class Harmful:
    def __reduce__(self):
        return print, ("this must not be called",)


def test_a_pickle_that_asks_for_code_is_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture):
    with pytest.raises(ValueError, match=r"it asks for builtins\.print"):
        read_tubes(pickled(tmp_path, {"v": Harmful()}))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [np.array([{}], object), [1, 2], {"v": {"numf": 3}}, {"v": 3}])
def test_a_pickle_of_something_else_is_refused_in_one_line(tmp_path: Path, content: object):
    with pytest.raises(ValueError, match=r"is not UCF101-24's pyannot\.pkl") as refusal:
        read_tubes(pickled(tmp_path, content))
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_no_pickle_is_refused(tmp_path: Path):
    (tmp_path / "annot.pkl").write_text("hello")
    with pytest.raises(ValueError, match="is not UCF101-24's"):
        read_tubes(tmp_path / "annot.pkl")


def test_a_tube_with_too_few_boxes_is_refused(tmp_path: Path):
    content = video(np.full((8, 4), 9, np.uint8))
    content["Biking/v_Biking_g01_c01"]["annotations"][0]["ef"] = 9
    with pytest.raises(ValueError, match=r"'Biking/v_Biking_g01_c01', tube 0: 8 boxes for frames 0 to 9"):
        read_ucf101_24(pickled(tmp_path, content), {"v_Biking_g01_c01": 25}).checked()


def test_what_the_test_list_names_evaluates_and_the_rest_trains(tmp_path: Path):
    names = [f"v_Biking_g0{number}_c01" for number in range(1, 5)]
    (tmp_path / "testlist01.txt").write_text(f"Biking/{names[0]}.avi\nBiking/{names[2]}\nFencing/v_Fencing_g01_c01\n")
    rates = dict.fromkeys(names, 25.0)
    assert train_videos(Ucf101Options(test_list=tmp_path / "testlist01.txt", frame_rates=rates)) == {names[1], names[3]}
    assert train_videos(Ucf101Options(frame_rates=rates)) is None
    with pytest.raises(ValueError, match="names none of the 1 videos"):
        train_videos(Ucf101Options(test_list=tmp_path / "testlist01.txt", frame_rates={"other": 25.0}))
