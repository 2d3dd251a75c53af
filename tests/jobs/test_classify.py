"""A classifier from the command line: trained, resumed, measured, and refused where it does not fit."""

from __future__ import annotations

import json

import pytest
import torch
from tiny import NUM_CLIPS, SPEC, TWO, write_store

from stvr.heads.checkpoint import load_head
from stvr.store import FeatureStore

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
    return ["train", *flags(place), "--head", "classifier", "--preset", "small", "--config", place / "own.toml",
            "--out", place / out, *more]  # fmt: skip


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
