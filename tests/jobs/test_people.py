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
from stvr.video.decode import probe

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




def test_a_video_file_is_answered_as_avas_csv_and_drawn(stvr, films, tmp_path):
    """The rows of a second are those of its clip, and each clip's boxes are drawn on its frames alone."""
    store, people = tmp_path / "store", tmp_path / "people.csv"
    assert stvr("extract", *films[:2], "--store", store, "--image-size", 64, "--endpoint", "Mixed_3b").status == 0
    rows = "".join(f"{film.stem},{second},0.2,0.1,0.6,0.9,14,0\n" for film in films[:2] for second in range(4))
    (tmp_path / "ava.csv").write_text(rows)
    (tmp_path / "classes.pbtxt").write_text('item {\n  name: "walk"\n  id: 14\n}\n')
    assert stvr("prepare", "people", "--train", tmp_path / "ava.csv", "--labels", tmp_path / "classes.pbtxt", "--out",
                people).status == 0  # fmt: skip
    (tmp_path / "own.toml").write_text(TINY)
    trained = stvr("train", "--store", store, "--pairs", people, "--head", "step", "--preset", "small", "--config",
                   tmp_path / "own.toml", "--out", tmp_path / "run")  # fmt: skip
    assert trained.status == 0, trained.err
    ended = stvr("predict", *films[:2], "--checkpoint", tmp_path / "run", "--out", tmp_path / "found.csv", "--render",
                 tmp_path / "drawn")  # fmt: skip
    assert ended.status == 0, ended.err
    found = [line.split(",") for line in (tmp_path / "found.csv").read_text().splitlines()]
    assert {(row[0], row[1], row[6]) for row in found} == {
        (film.stem, f"{second:04d}", "14") for film in films[:2] for second in range(4)}  # fmt: skip
    measured = stvr("eval", "--checkpoint", tmp_path / "run", "--store", store, "--pairs", people, "--out", tmp_path)
    assert measured.status == 0, measured.err
    cached = [line.split(",") for line in (tmp_path / "step3.csv").read_text().splitlines()]
    assert [row[:2] + row[6:7] for row in cached] == [row[:2] + row[6:7] for row in found]
    for one, other in zip(cached, found, strict=True):
        assert [float(each) for each in one[2:6] + one[7:]] == pytest.approx(
            [float(each) for each in other[2:6] + other[7:]], abs=2e-3)
    for film in films[:2]:
        drawn, plain = tmp_path / "drawn" / f"{film.stem}_predicted.mp4", probe(film)
        assert (probe(drawn).width, probe(drawn).duration) == (plain.width, plain.duration)


def test_the_flags_of_classifiers_are_refused(stvr, place, films):
    assert stvr(*training(place, "run", "--steps", 1)).status == 0
    ended = stvr("predict", films[0], "--checkpoint", place / "run", "--each")
    assert (ended.status, ended.err.count("\n")) == (2, 1)
