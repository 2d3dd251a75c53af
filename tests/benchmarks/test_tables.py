"""benchmarks/bench_world_table.py and bench_real_table.py: how they are called, and what a failed training leaves."""

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
TABLES = ("bench_world_table", "bench_real_table")
WRONG = [
    (["--seeds", "0"], "1 or more, got '0'"), (["--seeds", "-1"], "1 or more, got '-1'"),
    (["--processes", "0"], "1 or more, got '0'"), (["--steps", "0"], "1 or more, got '0'"),
    (["--rows", "nonsense"], "there is no 'nonsense'"), (["--rows", ""], "there is no ''"),
    (["--device", "cuda:99"], "'cuda:99' cannot be used here"), (["--device", "nonsense"], "cannot be used here"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    """Scripts set the number of torch's threads."""
    threads = torch.get_num_threads()
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    yield
    torch.set_num_threads(threads)


def called(monkeypatch, script: str, *words: object):
    """The module of a script, that is called with these words."""
    monkeypatch.setattr(sys, "argv", [f"{script}.py", *map(str, words)])
    return importlib.import_module(script)


def refused(monkeypatch, capsys, script: str, *words: object) -> str:
    """The one line that ends a script with status 2."""
    module = called(monkeypatch, script, *words)
    with pytest.raises(SystemExit) as ended:
        module.main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.fixture
def world(monkeypatch, tmp_path):
    """Calls the table of the world with more words, nothing of which takes time; by row, what it finds."""
    figures = {"seed": 0, "debiased": {"frame_map": {iou: 0.5 for iou in ("0.3", "0.5", "0.7")}, "probes": {},
               "shuffled": {"0.5": 0.1}, "video_map": {"online": {"0.2": 0.5, "0.5": 0.5}}, "recall": {}}}  # fmt: skip

    def call(*words: object, failing: str = "", out: str = "table.md"):
        def asked(place, run, row, *rest):
            if row.head["name"] == failing:
                raise RuntimeError("broken off")
            return figures

        given = ("--worlds", "plain", "--rows", "nearest,progressive", "--seeds", 1, "--out", tmp_path / out, *words)
        module = called(monkeypatch, "bench_world_table", tmp_path / "work", *given)
        monkeypatch.setattr(module, "make_world", lambda *rest: None)
        monkeypatch.setattr(module, "step_cost", lambda *rest: {"step_seconds": 1.0, "parameters": 1, "gflop_look": 1.0,
                                                                "gflop_ask": 1.0})  # fmt: skip
        monkeypatch.setattr(module, "trained_and_asked", asked)
        module.main()

    return call


@pytest.mark.parametrize("script", TABLES)
@pytest.mark.parametrize(("words", "said"), WRONG)
def test_wrong_words_are_refused_in_one_line(monkeypatch, capsys, tmp_path, script, words, said):
    folder = [tmp_path / "work"] if script == "bench_world_table" else [tmp_path / "m.csv", "--work", tmp_path / "work"]
    assert said in refused(monkeypatch, capsys, script, *folder, *words)
    assert list(tmp_path.iterdir()) == []


def test_a_world_that_there_is_not_is_refused_in_one_line(monkeypatch, capsys, tmp_path):
    words = (tmp_path / "work", "--worlds", "plain,nonsense")
    assert "there is no 'nonsense'" in refused(monkeypatch, capsys, "bench_world_table", *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("option", "before"), [
    ("--steps 7", "steps 120"), ("--pairs 7", "pairs 60"), ("--train-videos 7", "train_videos 60"),
    ("--image-size 96", "image_size 80"), ("--size small", "size tiny"),
])  # fmt: skip
def test_the_table_of_the_world_refuses_a_folder_of_other_figures(world, tmp_path, capsys, option, before):
    world()
    table, kept = (tmp_path / "table.md").read_text(), sorted((tmp_path / "work").rglob("figures.json"))
    assert len(kept) == 2 + 1  # of two trainings, and what a step of one costs
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        world(*option.split())
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path / "work") in line
    assert before in line
    assert option.split()[1] in line
    assert "Name another folder" in line
    assert (tmp_path / "table.md").read_text() == table
    assert sorted((tmp_path / "work").rglob("figures.json")) == kept


def test_the_same_figures_make_the_same_table_again(world, tmp_path):
    world()
    table = (tmp_path / "table.md").read_text()
    world(failing="nearest")
    assert (tmp_path / "table.md").read_text() == table


def test_a_training_that_fails_is_left_out_and_said_with_status_1_and_tried_again(world, tmp_path):
    with pytest.raises(SystemExit, match="1 of 2 trainings failed and are left out"):
        world(failing="progressive")
    assert "| nearest | 50.0" in (tmp_path / "table.md").read_text()
    assert "| progressive | 50.0" not in (tmp_path / "table.md").read_text()
    world()
    assert "| progressive | 50.0" in (tmp_path / "table.md").read_text()


def test_a_table_stays_where_every_training_fails(world, tmp_path):
    (tmp_path / "table.md").write_text("figures\n")
    with pytest.raises(SystemExit, match="1 of 1 trainings failed"):
        world("--rows", "nearest", failing="nearest")
    assert (tmp_path / "table.md").read_text() == "figures\n"


def test_a_world_of_other_videos_is_refused_in_one_line(monkeypatch, capsys, tmp_path):
    (tmp_path / "work/plain/world").mkdir(parents=True)
    (tmp_path / "work/plain/world/world.json").write_text("{}")
    words = (tmp_path / "work", "--worlds", "plain", "--rows", "nearest")
    assert "what it holds is not this world" in refused(monkeypatch, capsys, "bench_world_table", *words)


def test_the_table_of_real_clips_refuses_a_folder_of_other_figures(monkeypatch, capsys, tmp_path):
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("file,set,class,group,boxes\n")
    words = (manifest, "--work", tmp_path / "work", "--rows", "warp_lstm", "--seeds", 1)
    module = called(monkeypatch, "bench_real_table", *words)
    work, _, name, fold, seed, how, _ = module.jobs_of(module.arguments())[0]
    run = module.run_of(work, name, fold, seed)
    run.mkdir(parents=True)
    (run / "figures.json").write_text(json.dumps({"how": how}))
    for option, said in (("--steps 7", "steps 150, and steps 7"), ("--image-size 96", "224, and image_size 96"),
                         ("--weights analytic", "weights i3d-kinetics-400, and weights analytic")):  # fmt: skip
        assert said in refused(monkeypatch, capsys, "bench_real_table", *words, *option.split())
    manifest.write_text("file,set,class,group,boxes\na.mp4,mine,run,anna,a.json\n")
    assert "made with manifest" in refused(monkeypatch, capsys, "bench_real_table", *words)


def test_a_killed_training_loses_no_more_than_a_hundred_steps(monkeypatch):
    world, real = called(monkeypatch, "bench_world_table"), called(monkeypatch, "bench_real_table")
    assert all(world.options_of(row, "paper", 0, None).save_every <= 100 for row in world.ROWS.values() if row.trained)
    assert all(real.options_of(row, 0, 150).save_every <= 100 for row in real.REAL_ROWS.values() if row.trained)
