"""A classifier from the command line: trained, resumed, measured, and refused where it does not fit."""

from __future__ import annotations

import json

import pytest
import torch
from tiny import NUM_CLIPS, SPEC, TWO, write_store

from stvr.heads.checkpoint import load_head
from stvr.store import FeatureStore
from stvr.store.region_boxes import write_boxes
from stvr.structures import Span
from stvr.tasks.labels.steps import Steps

SMALL = "steps = 40\nbatch_size = 8\nlr = 0.01\nsave_every = 20\nwarmup_steps = 1\n[head]\nsegments = 4\nwidth = 8\n"


def write_told_apart(path) -> None:
    """A store of four videos of noise, in each of which another channel stands out."""
    store = FeatureStore.create(path, SPEC)
    for number, video in enumerate("abcd"):
        maps = torch.rand(NUM_CLIPS, 4, 4, 2, 8, generator=torch.Generator().manual_seed(number)).half()
        maps[..., number] += 1
        with store.write(video, NUM_CLIPS, (4, 4, 2, 8)) as writer:
            writer.append(maps, torch.zeros(NUM_CLIPS, SPEC.clip.frames_per_clip, dtype=torch.long).numpy())
            writer.complete(width=160, height=160, duration_seconds=NUM_CLIPS / 3)


@pytest.fixture
def place(tmp_path):
    """Four videos with a class each; the ends of two of them test."""
    write_told_apart(tmp_path / "store")
    rows = ["a,nod,train,0,5", "b,wave,train,0,5", "c,jump,train,0,5", "a,nod,test,5,8", "b,wave,test,5,8",
            "d,bow,test,,"]  # fmt: skip
    (tmp_path / "labels.csv").write_text("\n".join(["video,label,split,start,stop", *rows]) + "\n")
    (tmp_path / "own.toml").write_text(SMALL)
    return tmp_path


def flags(place, *more: object) -> list[object]:
    return ["--store", place / "store", "--pairs", place / "labels.csv", *more]


def training(place, out: str, *more: object) -> list[object]:
    head = [] if "--head" in more else ["--head", "classifier"]
    return ["train", *flags(place), *head, "--preset", "small", "--config", place / "own.toml", "--out", place / out,
            *more]  # fmt: skip


@pytest.mark.parametrize("block", ["gru", "convlstm"])
def test_a_classifier_learns_its_videos_and_is_measured_beside_the_most_frequent_class(stvr, place, block):
    trained = stvr(*training(place, "run", "--block", block))
    assert trained.status == 0, trained.err
    options = load_head(place / "run").options
    assert (options.classes, options.block["name"]) == (("jump", "nod", "wave"), block)
    figures = []
    for out in ("one", "two"):
        ended = stvr("eval", "--checkpoint", place / "run", *flags(place, "--split", "train", "--out", place / out))
        assert ended.status == 0, ended.err
        figures.append(json.loads((place / out / "eval.json").read_text()))
    assert figures[0] == figures[1]
    assert figures[0]["top_k"]["1"] == 1.0  # a channel tells them apart
    assert figures[0]["probes"] == {"most frequent class": pytest.approx(1 / 3)}
    assert "top-1" in ended.out
    assert "most frequent class" in (place / "one" / "report.html").read_text()


def test_stretches_of_unknown_classes_are_left_out_and_counted(stvr, place, caplog):
    assert stvr(*training(place, "run", "--steps", 2)).status == 0
    ended = stvr("eval", "--checkpoint", place / "run", *flags(place, "--out", place / "figures"))
    assert ended.status == 0, ended.err
    assert "of classes that the head does not have, 'bow' first" in caplog.text
    figures = json.loads((place / "figures" / "eval.json").read_text())
    assert (figures["evaluated"], figures["split"]) == ("2 of 3 labelled stretches", ["test"])


@pytest.mark.parametrize(("more", "said"), [
    (["--block", "hydra"], "no temporal block 'hydra'"),
    (["--windows", "targets"], "no option 'windows'"),
    (["--flip", "on"], "stvr extract --flip"),
])  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(stvr, place, more, said):
    ended = stvr(*training(place, "run", *more))
    assert ended.status == 2
    assert said in ended.err
    assert ended.err.count("\n") == 1


def test_a_classifier_is_not_asked_where_and_when_nor_with_probes_of_queries(stvr, place):
    assert stvr(*training(place, "run", "--steps", 1)).status == 0
    ended = stvr("eval", "--checkpoint", place / "run", *flags(place, "--audit"))
    assert (ended.status, ended.err.count("\n")) == (2, 1)
    assert "--audit and --dials are for pairs" in ended.err
    ended = stvr("locate", "--checkpoint", place / "run", "--store", place / "store", "--query", "a", "--box",
                 "0.1,0.1,0.9,0.9", "--at", "1", "b", "--out", place / "answers")
    assert ended.status == 2
    assert "gives no boxes" in ended.err
    (place / "videos").mkdir()
    (place / "videos" / "a.mp4").touch()
    ended = stvr("finetune", "--checkpoint", place / "run", "--videos", place / "videos", "--pairs",
                 place / "labels.csv", "--out", place / "tuned")
    assert ended.status == 2
    assert "the head 'classifier' learns from labels" in ended.err


def test_a_classifier_reads_one_map_of_several(stvr, tmp_path):
    write_store(tmp_path / "store", TWO)
    (tmp_path / "labels.csv").write_text("video,label,split\na,nod,train\nb,wave,train\n")
    (tmp_path / "own.toml").write_text(f'{SMALL}endpoint = "Mixed_5c"\n')
    ended = stvr(*training(tmp_path, "run", "--steps", 1))
    assert ended.status == 0, ended.err
    loaded = load_head(tmp_path / "run")
    assert loaded.spec == TWO.only(["Mixed_5c"])
    assert loaded.head.project.in_features == 6


def add_boxes(place) -> None:
    """Two boxes in each clip, the second in every other clip alone."""
    store = FeatureStore.open(place / "store")
    boxes = torch.tensor([[0.1, 0.1, 0.6, 0.9, 0.9, 1], [0.4, 0.2, 0.9, 0.8, 0.5, 1]]).repeat(NUM_CLIPS, 1, 1)
    boxes[::2, 1] = 0
    for video in "abcd":
        write_boxes(store, video, boxes.numpy(), "made")


@pytest.mark.parametrize("proposals", ["grid", "boxes"])
def test_a_region_graph_learns_classes_from_the_same_commands(stvr, place, proposals):
    (place / "own.toml").write_text(f'{SMALL}proposals = "{proposals}"\n')
    words = training(place, "run", "--head", "region_graph_classifier")
    if proposals == "boxes":
        ended = stvr(*words)
        assert (ended.status, ended.err.count("\n")) == (2, 1)
        assert "come without boxes" in ended.err
        add_boxes(place)
    ended = stvr(*words, *(["--resume"] if proposals == "boxes" else []))
    assert ended.status == 0, ended.err
    figures = []
    for out in ("one", "two"):
        ended = stvr("eval", "--checkpoint", place / "run", *flags(place, "--split", "train", "--out", place / out))
        assert ended.status == 0, ended.err
        figures.append(json.loads((place / out / "eval.json").read_text()))
    assert figures[0] == figures[1]
    assert figures[0]["top_k"]["1"] == 1.0  # a channel tells them apart


@pytest.mark.parametrize("head", ["classifier", "region_graph_classifier"])
def test_stretches_of_several_classes_are_learned_and_measured_by_average_precision(stvr, place, head):
    rows = ["a,nod,train,0,5", "b,nod + wave,train,0,5", "c,wave,train,0,5", "d,jump,train,,", "b,nod + wave,test,5,8",
            "c,wave,test,5,8", "a,nod + bow,test,5,8", "d,bow,test,,"]  # fmt: skip
    (place / "labels.csv").write_text("\n".join(["video,label,split,start,stop", *rows]) + "\n")
    (place / "own.toml").write_text(f'{SMALL}loss = "multi_label"\n')
    ended = stvr(*training(place, "run", "--head", head, "--steps", 80))
    assert ended.status == 0, ended.err
    assert load_head(place / "run").options.classes == ("jump", "nod", "wave")
    ended = stvr("eval", "--checkpoint", place / "run", *flags(place, "--out", place / "figures"))
    assert ended.status == 0, ended.err
    figures = json.loads((place / "figures" / "eval.json").read_text())
    assert figures["evaluated"] == "3 of 4 labelled stretches"
    assert figures["mean_average_precision"] == 1.0
    assert figures["probes"] == {"equal scores": pytest.approx(2 / 3)}  # nod and wave are each in two of three
    assert {name: each["support"] for name, each in figures["per_class"].items()} == {"nod": 2, "wave": 2}
    assert "mAP" in ended.out
    assert "Average precision by class" in (place / "figures" / "report.html").read_text()


def test_boxes_of_a_mirrored_view_are_mirrored(place):
    add_boxes(place)
    steps = Steps(FeatureStore.open(place / "store"), cells=True)
    found = [steps.boxes(Span("a", 2, 6), [1, 2], flipped) for flipped in (False, True)]
    shown = [[[0.1, 0.1, 0.6, 0.9], [0.0] * 4], [[0.1, 0.1, 0.6, 0.9], [0.4, 0.2, 0.9, 0.8]]]
    torch.testing.assert_close(found[0], torch.tensor(shown))  # of the clips 2 and 3, of two steps each
    turned = [[[0.4, 0.1, 0.9, 0.9], [0.0] * 4], [[0.4, 0.1, 0.9, 0.9], [0.1, 0.2, 0.6, 0.8]]]
    torch.testing.assert_close(found[1], torch.tensor(turned))
