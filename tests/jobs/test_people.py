"""The head step from the command line: prepared from AVA's files, trained, resumed, pre-trained, measured."""

from __future__ import annotations

import json

import pytest
import torch
from marked import prepared, write_ava
from stopping import Stopped, assert_same_run, stop_at
from tiny import write_store

from stvr.heads.checkpoint import load_head
from stvr.jobs.train import train, train_options

TINY = ("steps = 4\nbatch_size = 2\nsave_every = 2\nwarmup_steps = 1\n[head]\nwidth = 8\nreduced = 4\nhidden = 8\n"
        "bottleneck = 4\n")  # fmt: skip


@pytest.fixture
def place(stvr, tmp_path):
    write_store(tmp_path / "store")
    write_ava(tmp_path / "ava")
    ended = stvr(*prepared(tmp_path / "ava", tmp_path / "people.csv"))
    assert ended.status == 0, ended.err
    assert "keyframes: train 12, test 11" in ended.out
    assert "1 rows left out: of classes that the label map does not name" in ended.err
    (tmp_path / "own.toml").write_text(TINY)
    return tmp_path


def training(place, out: str, *more: object) -> list[object]:
    return ["train", "--store", place / "store", "--pairs", place / "people.csv", "--head", "step", "--preset", "small",
            "--config", place / "own.toml", "--out", place / out, *more]  # fmt: skip


def test_it_is_trained_and_measured_after_every_step_as_the_official_evaluator_does(stvr, place):
    ended = stvr(*training(place, "run"))
    assert ended.status == 0, ended.err
    assert load_head(place / "run").options.classes == ("12: stand", "14: walk", "80: watch (a person)")
    ended = stvr("eval", "--checkpoint", place / "run", "--store", place / "store", "--pairs", place / "people.csv",
                 "--out", place / "figures")  # fmt: skip
    assert ended.status == 0, ended.err
    figures = json.loads((place / "figures" / "eval.json").read_text())
    assert (figures["evaluated"], list(figures["steps"])) == ("11 of 11 keyframes", ["1", "2", "3"])
    assert {name: each["boxes"] for name, each in figures["per_class"].items()} == {
        "stand": 10, "walk": 10, "watch (a person)": 10}  # fmt: skip
    assert "watch (a person)" in (place / "figures" / "report.html").read_text()
    for step, value in figures["steps"].items():
        ended = stvr("score", "ava", "--ground-truth", place / "ava" / "ava_val.csv", "--detections",
                     place / "figures" / f"step{step}.csv", "--labels", place / "ava" / "classes.pbtxt",
                     "--exclude", place / "ava" / "excluded.csv")  # fmt: skip
        assert ended.status == 0, ended.err
        assert json.loads(ended.out)["mAP"] == pytest.approx(value, abs=1e-12)


def test_a_stopped_run_goes_on_to_the_same_weights(stvr, place, one_thread):
    assert stvr(*training(place, "whole")).status == 0
    options = train_options("small", place / "own.toml", {"head": {"name": "step"}})
    with pytest.raises(Stopped):
        train(place / "store", place / "people.csv", place / "broken", options, report=stop_at(3))
    assert stvr(*training(place, "broken", "--resume")).status == 0
    assert_same_run(place / "whole", place / "broken")


def test_classification_is_pre_trained_and_every_step_begins_from_it(stvr, place):
    ended = stvr(*training(place, "before", "--preset", "small_pretrain"))
    assert ended.status == 0, ended.err
    before = load_head(place / "before")
    assert before.options.pretrain
    ended = stvr("eval", "--checkpoint", place / "before", "--store", place / "store", "--pairs", place / "people.csv",
                 "--out", place / "figures")  # fmt: skip
    assert ended.status == 0, ended.err
    assert json.loads((place / "figures" / "eval.json").read_text())["steps"] == {}  # it finds nobody
    ended = stvr(*training(place, "run", "--start", place / "before", "--lr", 1e-12))
    assert ended.status == 0, ended.err
    shown = before.head.progression.step(0).what.reduce.weight
    for step in load_head(place / "run").head.progression.steps:
        torch.testing.assert_close(step.what.reduce.weight, shown)


def test_keyframes_without_clips_are_left_out_and_counted(stvr, place, caplog):
    write_store(place / "few", videos="acd")
    ended = stvr(*training(place, "run", "--steps", 1, "--store", place / "few"))
    assert ended.status == 0, ended.err
    assert "6 of 12 keyframes need clips that are not there" in caplog.text


@pytest.mark.parametrize(("words", "said"), [
    (["--windows", "targets"], "no option 'windows'"),
    (["--flip", "on"], "stvr extract --flip"),
    (["--start", "nowhere"], "no such checkpoint"),
])  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(stvr, place, words, said):
    ended = stvr(*training(place, "run", *words))
    assert (ended.status, ended.err.count("\n")) == (2, 1)
    assert said in ended.err


def test_it_is_not_asked_with_a_query_nor_with_probes_of_queries(stvr, place, films):
    assert stvr(*training(place, "run", "--steps", 1)).status == 0
    for words in (["eval", "--checkpoint", place / "run", "--store", place / "store", "--pairs", place / "people.csv",
                   "--audit"],
                  ["locate", "--checkpoint", place / "run", "--query", "a", "--box", "0,0,1,1", "--at", "1", "b",
                   "--store", place / "store", "--out", place / "answers"]):  # fmt: skip
        ended = stvr(*words)
        assert (ended.status, ended.err.count("\n")) == (2, 1), ended.err


