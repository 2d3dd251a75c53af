"""Promises of `stvr eval --dials`: figures over speed, occlusion and length, as counted by hand."""

import json
import math
from pathlib import Path

import pytest
import torch
from tiny import HEAD, SPEC, write_store, write_tiny_pairs

from stvr.heads import build_head
from stvr.heads.assembly import MatchingOptions
from stvr.heads.checkpoint import save_head
from stvr.metrics import ClipRecord, PairRecord
from stvr.render import evaluation_report
from stvr.render.evaluation import dial_chart
from stvr.render.result_tables import dial_table
from stvr.tasks.pairs.figures import PairAnswers, by_dial
from stvr.world.dials import DialBin, VideoDials, write_dials

BOX, FAR = torch.tensor([[0.2, 0.1, 0.6, 0.9]]), torch.tensor([[0.7, 0.1, 0.9, 0.2]])


def answer(label: str, *found: torch.Tensor) -> PairAnswers:
    """A clip each; with another's query nothing is found."""
    clips = [ClipRecord(box, torch.tensor([0.5]), BOX) for box in found]
    lost = [ClipRecord(FAR, torch.tensor([0.5]), BOX) for _ in found]
    return PairAnswers(PairRecord(label, clips), PairRecord(label, lost), [], [])


def test_each_bin_has_the_mean_over_the_labels_of_its_own_pairs():
    """Slow: label 1 all found, label 2 not at all. Fast: label 1 alone, found."""
    answers = [answer("1", BOX, BOX), answer("2", FAR, FAR), answer("1", BOX)]
    rows = by_dial(answers, {"speed": [DialBin(0, 1, 0.4, (0, 1)), DialBin(1, math.inf, 2.5, (2,))]})
    assert rows == {"speed": [
        {"from": 0, "to": 1, "mean": 0.4, "pairs": 2, "mAP": 0.5, "shuffled_query": 0},
        {"from": 1, "to": None, "mean": 2.5, "pairs": 1, "mAP": 1, "shuffled_query": 0},
    ]}  # fmt: skip


def test_the_chart_has_a_point_a_bin_and_skips_what_has_no_figure():
    rows = [{"from": 0, "to": 1, "mean": 0.4, "pairs": 2, "mAP": 0.5, "shuffled_query": None},
            {"from": 1, "to": None, "mean": 2.5, "pairs": 1, "mAP": 0.25, "shuffled_query": 0.125}]
    chart = dial_chart("speed", rows)
    assert [(list(curve.x), list(curve.y)) for curve in chart.curves] == [([0.4, 2.5], [50, 25]), ([2.5], [12.5])]
    assert chart.x_name == "speed, cells a clip"
    assert [row[1] for row in dial_table({"speed": rows}).rows] == ["0 to 1", "1 or more"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("place")
    write_store(path / "store")
    write_tiny_pairs(path / "pairs.json")
    options = MatchingOptions(**HEAD)
    torch.manual_seed(0)
    save_head(path / "head.safetensors", build_head(options, SPEC), options, SPEC, {"step": 1})
    speeds = {"a": 0.1, "b": 0.1, "c": 0.6, "d": 2.5}
    write_dials(path / "scenes.csv", [VideoDials(video, 8.0, 1, 0, speed, 0.0, 0.0, 0.0)
                                      for video, speed in speeds.items()])
    return path


def test_eval_writes_the_figures_prints_them_and_draws_them(place: Path, tmp_path: Path, stvr):
    """References of the test pairs: b, a, d, c, c; each of 24 clips, 8 seconds."""
    ended = stvr("eval", "--checkpoint", place / "head.safetensors", "--store", place / "store", "--pairs",
                 place / "pairs.json", "--dials", place / "scenes.csv", "--out", tmp_path / "eval")
    assert ended.status == 0, ended.err
    results = json.loads((tmp_path / "eval" / "eval.json").read_text())
    counts = {name: [(row["from"], row["pairs"]) for row in rows] for name, rows in results["by_dial"].items()}
    assert counts == {"speed": [(0, 2), (0.5, 2), (2, 1)], "occlusion": [(0, 5)], "length": [(5, 5)]}
    assert "over speed in cells a clip (pairs): " in ended.out
    page = (tmp_path / "eval" / "report.html").read_text()
    for words in ("Over the dials", "frame-mAP over occlusion", "length, s", "speed, cells a clip"):
        assert words in page


def test_without_dials_there_are_none(place: Path, tmp_path: Path, stvr):
    ended = stvr("eval", "--checkpoint", place / "head.safetensors", "--store", place / "store", "--pairs",
                 place / "pairs.json", "--out", tmp_path / "eval")
    assert ended.status == 0, ended.err
    results = json.loads((tmp_path / "eval" / "eval.json").read_text())
    assert results["by_dial"] is None
    assert evaluation_report(results).charts == []
    assert "Over the dials" not in (tmp_path / "eval" / "report.html").read_text()


def test_dials_of_another_world_are_refused_before_anything_is_asked(place: Path, tmp_path: Path, stvr):
    write_dials(tmp_path / "scenes.csv", [VideoDials("train_0000", 8.0, 1, 0, 0.0, 0.0, 0.0, 0.0)])
    ended = stvr("eval", "--checkpoint", place / "head.safetensors", "--store", place / "store", "--pairs",
                 place / "pairs.json", "--dials", tmp_path / "scenes.csv")
    assert ended.status == 2
    assert "the dials have no video" in ended.err
