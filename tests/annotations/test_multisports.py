"""Promises of the readers of MultiSports, and of ground truths in ACT-detector's form."""

import json
import pickle
from pathlib import Path

import pytest

from stvr.annotations.labelled import link_annotations
from stvr.annotations.multisports import read_multisports


def test_the_sample_holds_two_persons_of_two_videos(shared: Path):
    annotations = read_multisports(shared / "data/annotations/labels/multisports_sample.csv").checked()
    boxes = annotations.boxes
    assert boxes.groupby(["video", "person"]).size().to_dict() == {  # counted in the file
        ("aerobic_gymnastics/v_aqMgwPExjD0_c001", "11.0"): 4, ("aerobic_gymnastics/v_yaKOumdXwbU_c019", "1.0"): 5}
    first = boxes[boxes.video == "aerobic_gymnastics/v_aqMgwPExjD0_c001"].iloc[0]
    assert (first.start, first.stop) == pytest.approx((376 / 25, 377 / 25))  # frame 377, counted from 1
    assert first.labels == (11,)


def test_entities_of_two_actions_are_two_persons(tmp_path: Path):
    rows = "s/v.mp4,1,0.1,0.1,0.2,0.2,3,0\ns/v.mp4,1,0.5,0.5,0.9,0.9,4,0\n"
    (tmp_path / "a.csv").write_text(rows)
    boxes = read_multisports(tmp_path / "a.csv").checked().boxes
    assert boxes[["person", "labels"]].values.tolist() == [["3.0", (3,)], ["4.0", (4,)]]


TRUTH = {
    "labels": ["jump", "throw"], "train_videos": [["s/a"]], "test_videos": [["s/b"]],
    "nframes": {"s/a": 50, "s/b": 25}, "resolution": {"s/a": [100, 200], "s/b": [100, 200]},
    "gttubes": {"s/a": {"1": [[[frame, 20, 10, 60, 50] for frame in range(1, 26)]]},
                "s/b": {"0": [[[1, 0, 0, 200, 100]], [[9, 0, 0, 10, 10]]]}},
}


def test_a_ground_truth_as_json_is_frames_from_one_and_height_before_width(tmp_path: Path):
    (tmp_path / "gt.json").write_text(json.dumps(TRUTH))
    annotations = read_multisports(tmp_path / "gt.json").checked()
    assert annotations.names == {0: "jump", 1: "throw"}
    assert annotations.extents == {"s/a": (0.0, 2.0), "s/b": (0.0, 1.0)}
    assert annotations.boxes.groupby(["video", "person"]).size().to_dict() == {
        ("s/a", "1.0"): 25, ("s/b", "0.0"): 1, ("s/b", "0.1"): 1}
    row = annotations.boxes.iloc[0]
    assert [row.start, row.x1, row.y1, row.x2, row.y2] == pytest.approx([0, 0.1, 0.1, 0.3, 0.5])
    tubelet = link_annotations(annotations)[0]
    assert (tubelet.label, tubelet.span.start, tubelet.span.stop) == ((1,), 0, 3)


def test_only_videos_whose_rate_is_given_are_kept(tmp_path: Path):
    (tmp_path / "gt.json").write_text(json.dumps(TRUTH))
    annotations = read_multisports(tmp_path / "gt.json", frame_rates={"b": 50.0}).checked()
    assert annotations.extents == {"b": (0.0, 0.5)}
    with pytest.raises(LookupError, match="annotates 2 videos, none among the 1 given"):
        read_multisports(tmp_path / "gt.json", frame_rates={"c": 50.0}).checked()


class Harmful:
    def __reduce__(self):
        return print, ("this must not be called",)


def test_a_pickle_is_not_opened_and_the_way_out_is_said(tmp_path: Path, capsys: pytest.CaptureFixture):
    (tmp_path / "multisports_GT.pkl").write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(ValueError, match=r"is a pickle, which is not opened.*json\.dump\(pickle\.load") as refusal:
        read_multisports(tmp_path / "multisports_GT.pkl").checked()
    assert "\n" not in str(refusal.value)
    assert capsys.readouterr().out == ""


def test_the_way_out_of_a_pickle_works(tmp_path: Path):
    import shlex
    import subprocess
    import sys

    import numpy as np

    truth = TRUTH | {"gttubes": {video: {int(label): [np.array(tube, np.float32) for tube in tubes]
                                         for label, tubes in by_label.items()}
                                 for video, by_label in TRUTH["gttubes"].items()}}
    (tmp_path / "gt.pkl").write_bytes(pickle.dumps(truth))
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 - the whole message is used
        read_multisports(tmp_path / "gt.pkl").checked()
    words = shlex.split(str(refusal.value).partition("give that: ")[2])
    subprocess.run([sys.executable, *words[1:]], cwd=tmp_path, check=True)
    assert len(read_multisports(tmp_path / "gt.json").checked().boxes) == 27


@pytest.mark.parametrize(("name", "text", "says"), [
    ("a.csv", "v.mp4,0,0.1,0.1,0.2,0.2,3,0\n", "line 1: frames are counted from 1"),
    ("a.csv", "v.mp4,1,0.1,0.1,0.2,0.2,3\n", "line 1: wanted 8 columns"),
    ("a.csv", "", "is empty"),
    ("a.json", "[1]", "is not a ground truth of tubes"),
    ("a.json", "{", "is not JSON"),
    ("a.json", json.dumps(TRUTH | {"resolution": {}}), "video 's/a': wanted its resolution"),
    ("a.json", json.dumps(TRUTH | {"gttubes": {"s/a": {"1": [[[1, 2]]]}}}), "video 's/a': wanted its resolution"),
])
def test_what_does_not_fit_is_one_line(tmp_path: Path, name: str, text: str, says: str):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=says) as refusal:
        read_multisports(tmp_path / name).checked()
    assert "\n" not in str(refusal.value)
