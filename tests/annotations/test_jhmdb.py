"""Promises of the JHMDB reader, on masks written by SciPy."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from stvr.annotations.jhmdb import read_jhmdb, read_splits
from stvr.tasks.pairs.prepare import prepare


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """Two classes of two videos; the actor is 20 x 30 pixels at (x, y) = (10 + frame, 40), and not in frame 3."""
    for place, action in enumerate(("wave", "catch")):
        for video in (f"{action}_one", f"{action}_two"):
            mask = np.zeros((240, 320, 30), np.uint8)
            for frame in range(30):
                if frame != 3:
                    mask[40:70, 10 + frame : 30 + frame, frame] = 1 + place
            folder = tmp_path / "puppet_mask" / action / video
            folder.mkdir(parents=True)
            savemat(folder / "puppet_mask.mat", {"part_mask": mask})
    return tmp_path / "puppet_mask"


def test_the_box_goes_around_the_mask_and_a_frame_without_one_has_none(masks: Path):
    annotations = read_jhmdb(masks, 25.0).checked()
    assert annotations.names == {1: "catch", 2: "wave"}
    boxes = annotations.boxes[annotations.boxes.video == "wave/wave_one"]
    assert len(boxes) == 29
    assert 3 / 25 not in boxes.start.tolist()
    last = boxes.iloc[-1]
    assert [last.x1 * 320, last.y1 * 240, last.x2 * 320, last.y2 * 240] == pytest.approx([39, 40, 59, 70], abs=1e-4)
    assert last.labels == (2,)
    assert annotations.extents["wave/wave_one"] == (0.0, 1.2)


def test_a_single_frame_is_a_video_too(tmp_path: Path):
    (tmp_path / "masks/wave/short").mkdir(parents=True)
    savemat(tmp_path / "masks/wave/short/puppet_mask.mat", {"part_mask": np.ones((24, 32), np.uint8)})
    boxes = read_jhmdb(tmp_path / "masks", 25.0).checked().boxes
    assert boxes[["x1", "y1", "x2", "y2"]].values.tolist() == [[0, 0, 1, 1]]


def test_the_lists_of_a_split_say_who_trains(masks: Path, tmp_path: Path):
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits/wave_test_split2.txt").write_text("wave_one.avi 1\nwave_two.avi 2\nother.avi 0\n")
    (tmp_path / "splits/catch_test_split2.txt").write_text("catch_one.avi 2\ncatch_two.avi 1\n")
    assert read_splits(tmp_path / "splits", 2) == {"wave_one": "train", "wave_two": "test", "catch_one": "test",
                                                   "catch_two": "train"}
    with pytest.raises(FileNotFoundError, match=r"no file \*_test_split1\.txt"):
        read_splits(tmp_path / "splits", 1)
    (tmp_path / "splits/wave_test_split2.txt").write_text("wave_one.avi 3\n")
    with pytest.raises(ValueError, match="line 1: wanted a video and 1"):
        read_splits(tmp_path / "splits", 2)


def test_masks_become_pairs(masks: Path, tmp_path: Path):
    rates = {f"{action}_{number}": 25.0 for action in ("wave", "catch") for number in ("one", "two")}
    summary = prepare("jhmdb", [masks], tmp_path / "pairs.json", {"frame_rates": rates})
    assert summary["labels"] == 2
    assert summary["splits"]["train"]["pairs"] >= 4


def test_what_holds_no_masks_is_refused(masks: Path, tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"no class/video/puppet_mask\.mat"):
        read_jhmdb(tmp_path / "nowhere", 25.0).checked()
    with pytest.raises(LookupError, match="annotates 4 videos, none among the 1 given"):
        read_jhmdb(masks, {"another": 25.0}).checked()
    broken = masks / "wave/wave_one/puppet_mask.mat"
    for content in (b"no matrix", b""):
        broken.write_bytes(content)
        with pytest.raises(ValueError, match="holds no part_mask") as refusal:
            read_jhmdb(masks, 25.0).checked()
        assert "\n" not in str(refusal.value)
    savemat(broken, {"other": np.zeros(3)})
    with pytest.raises(ValueError, match="holds no part_mask"):
        read_jhmdb(masks, 25.0).checked()


def test_a_pickled_ground_truth_is_refused_and_its_json_read(tmp_path: Path):
    truth = {"labels": ["wave"], "gttubes": {"wave/one": {"0": [[[1, 0, 0, 160, 120]]]}}, "nframes": {"wave/one": 9},
             "resolution": {"wave/one": [240, 320]}}
    (tmp_path / "JHMDB-GT.pkl").write_bytes(pickle.dumps(truth))
    with pytest.raises(ValueError, match="is a pickle, which is not opened"):
        read_jhmdb(tmp_path / "JHMDB-GT.pkl", 25.0).checked()
    (tmp_path / "JHMDB-GT.json").write_text(json.dumps(truth))
    assert read_jhmdb(tmp_path / "JHMDB-GT.json", 25.0).checked().boxes.x2.tolist() == [0.5]
