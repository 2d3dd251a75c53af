"""`stvr predict`: the classes of I3D's own last layer, and of a trained classifier."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from stvr.backbones import I3D
from stvr.backbones.kinetics import kinetics_400
from stvr.backbones.weights.load import save_weights
from stvr.jobs.predict import predict
from stvr.store import FeatureStore
from stvr.store.region_boxes import write_boxes
from stvr.video.decode import probe
from stvr.video.kinetics_windows import SIDE, count_frames, window_starts, windows


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Random weights of I3D to its last layer, of three classes."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "mine.safetensors"
    save_weights(I3D("Logits", num_classes=3), path)
    return path


def test_the_classes_are_those_of_kinetics(shared):
    published = (shared / "data/annotations/labels/label_map.txt").read_text().splitlines()
    assert list(kinetics_400()) == published
    assert (len(published), published[5], published[399]) == (400, "archery", "zumba")


@pytest.mark.parametrize(("count", "most", "starts"), [
    (40, None, [0]),
    (64, None, [0]),
    (100, None, [18]),  # 36 frames are left over, half of them before
    (200, None, [4, 68, 132]),
    (200, 1, [68]),
    (640, 2, [128, 448]),  # the middles of the two halves of ten windows: the third and the eighth
    (200, 9, [4, 68, 132]),
])  # fmt: skip
def test_windows_lie_side_by_side_in_the_middle(count, most, starts):
    assert window_starts(count, most) == starts


def test_a_window_holds_the_frames_from_its_start_on(films):
    info = probe(films[0])  # four seconds at 24 a second
    assert count_frames(info) == 100
    whole = next(windows(info, [0]))
    assert whole.shape == (64, SIDE, SIDE, 3)
    first, second = windows(info, [10, 74])
    assert torch.equal(first[:54], whole[10:])
    assert len(second) == 26  # all that is left


def test_a_network_says_its_likeliest_classes_for_each_segment_and_on_average(stvr, films, network, tmp_path):
    (tmp_path / "names.txt").write_text("nod\nwave\njump\n")
    flags = ["predict", films[0], "--weights", network, "--names", tmp_path / "names.txt"]
    ended = stvr(*flags, "--each")
    assert ended.status == 0, ended.err
    (segment,) = json.loads(ended.out)["results"][films[0].stem]
    assert segment["segment"] == [0.72, 3.28]  # 64 of 100 frames at 25 a second, in the middle
    assert {each["label"] for each in segment["result"]} == {"nod", "wave", "jump"}
    assert sum(each["score"] for each in segment["result"]) == pytest.approx(1, abs=1e-5)
    ended = stvr(*flags, "--top", 1, "--out", tmp_path / "answers.json")
    assert json.loads((tmp_path / "answers.json").read_text()) == {"results": {films[0].stem: segment["result"][:1]}}


def test_what_does_not_fit_is_said_in_one_line(stvr, films, network, tmp_path):
    (tmp_path / "names.txt").write_text("nod\nwave\n")
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    for words, status, said in [
        ([films[0], "--weights", network, "--names", tmp_path / "names.txt"], 2, "wanted the names of 3 classes"),
        ([films[0]], 2, "stvr weights fetch i3d-kinetics-400"),
        ([films[0], "--checkpoint", tmp_path], 2, "there is no such checkpoint"),
        ([tmp_path / "broken.mp4", "--weights", network], 1, "broken"),
    ]:
        ended = stvr("predict", *words)
        assert ended.status == status
        assert said in ended.err
        assert ended.err.count("stvr:") == 1


def test_a_video_of_which_nothing_can_be_decoded_is_told_of(films):
    class Blind:
        classes = ("nod",)

        def segments(self, video):
            return iter(())

    failed = {}
    assert predict(Blind(), {"film": films[0]}, on_failure=lambda name, error: failed.update({name: str(error)})) == {
        "results": {}
    }
    assert "nothing of it can be decoded" in failed["film"]


def test_a_head_without_classes_is_refused(stvr, films, untrained):
    ended = stvr("predict", films[0], "--checkpoint", untrained)
    assert ended.status == 2
    assert "the head 'matching' has no classes" in ended.err


@pytest.mark.parametrize("head", ["classifier", "region_graph_classifier"])
def test_a_trained_classifier_says_of_a_file_what_it_says_of_its_cached_features(stvr, films, tmp_path, head):
    """Both are read at the same steps, so the likeliest class of a file is that of its row in the store."""
    store, labels = tmp_path / "store", tmp_path / "labels.csv"
    assert stvr("extract", *films[:2], "--store", store, "--image-size", 64, "--endpoint", "Mixed_3b").status == 0
    labels.write_text("video,label,split\n" + "".join(f"{each.stem},{each.stem},train\n" for each in films[:2]))
    (tmp_path / "own.toml").write_text("steps = 20\nbatch_size = 4\nlr = 0.01\n[head]\nsegments = 4\nwidth = 8\n")
    trained = stvr("train", "--store", store, "--pairs", labels, "--head", head, "--preset", "small",
                   "--config", tmp_path / "own.toml", "--out", tmp_path / "run")  # fmt: skip
    assert trained.status == 0, trained.err
    ended = stvr("predict", *films[:2], "--checkpoint", tmp_path / "run", "--top", 1)
    assert ended.status == 0, ended.err
    answers = json.loads(ended.out)["results"]
    measured = stvr("eval", "--checkpoint", tmp_path / "run", "--store", store, "--pairs", labels, "--out", tmp_path)
    assert measured.status == 0, measured.err
    accuracy = json.loads((tmp_path / "eval.json").read_text())["per_class"]
    assert {name: float(answer[0]["label"] == name) for name, answer in answers.items()} == {
        name: each["accuracy"] for name, each in accuracy.items()
    }
    ended = stvr("predict", films[0], "--checkpoint", tmp_path / "run", "--each", "--segments", 3)
    assert [each["segment"] for each in json.loads(ended.out)["results"][films[0].stem]] == [
        [0.0, pytest.approx(4 / 3, abs=1e-3)], [pytest.approx(4 / 3, abs=1e-3), pytest.approx(8 / 3, abs=1e-3)],
        [pytest.approx(8 / 3, abs=1e-3), 4.0],
    ]  # fmt: skip


def test_regions_of_a_detector_are_not_had_of_a_file(stvr, films, tmp_path):
    store, labels = tmp_path / "store", tmp_path / "labels.csv"
    assert stvr("extract", films[0], "--store", store, "--image-size", 64, "--endpoint", "Mixed_3b").status == 0
    opened = FeatureStore.open(store)
    write_boxes(opened, films[0].stem, np.zeros((opened.num_clips(films[0].stem), 1, 6), np.float32), "made")
    labels.write_text("video,label,split,start,stop\n" + "".join(
        f"{films[0].stem},{label},train,{start},{start + 1}\n" for start, label in enumerate(("nod", "wave"))))
    (tmp_path / "own.toml").write_text('steps = 1\nbatch_size = 2\n[head]\nsegments = 2\nproposals = "boxes"\n')
    trained = stvr("train", "--store", store, "--pairs", labels, "--head", "region_graph_classifier", "--preset",
                   "small", "--config", tmp_path / "own.toml", "--out", tmp_path / "run")  # fmt: skip
    assert trained.status == 0, trained.err
    ended = stvr("predict", films[0], "--checkpoint", tmp_path / "run")
    assert (ended.status, ended.err.count("\n")) == (2, 1)
    assert "files have no boxes" in ended.err
