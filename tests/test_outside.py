"""What other packages bring by entry points: a head, a propagation and a backbone, from the command line alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from stopping import Stopped, assert_same_run, stop_at
from tiny import TWO, write_store, write_tiny_pairs

from stvr.backbones import BACKBONES
from stvr.heads import HEADS
from stvr.heads.checkpoint import load_head
from stvr.jobs.evaluate import evaluate
from stvr.jobs.train import train, train_options
from stvr.propagation import PROPAGATION
from stvr.world.synthetic import write_world

OUTSIDE = Path(__file__).parent / "outside"  # one module each; they know stvr, and stvr does not know them
ENTRY_POINTS = """
[stvr.heads]
grid = grid_head:GRID
[stvr.propagation]
lag = lag_propagation:LAG
[stvr.backbones]
blocks = blocks_backbone:load_blocks
"""


@pytest.fixture
def installed(tmp_path, monkeypatch) -> None:
    """A distribution with these entry points, as pip would leave it."""
    notes = tmp_path / "site" / "made_up-1.0.dist-info"
    notes.mkdir(parents=True)
    (notes / "METADATA").write_text("Metadata-Version: 2.1\nName: made-up\nVersion: 1.0\n")
    (notes / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(OUTSIDE)
    monkeypatch.syspath_prepend(tmp_path / "site")
    for menu in (HEADS, PROPAGATION, BACKBONES):
        monkeypatch.delitem(vars(menu), "_others", raising=False)
        monkeypatch.setattr(menu, "_loaded", {})
    yield
    for menu in (HEADS, PROPAGATION, BACKBONES):
        vars(menu).pop("_others", None)


@pytest.fixture
def place(stvr, installed, tmp_path) -> Path:
    """A world, its features by the made-up backbone, and pairs."""
    write_world(tmp_path / "world", size="tiny", workers=1, num_train_videos=4, num_test_videos=3)
    videos = tmp_path / "world" / "videos"
    done = stvr("extract", videos, "--store", tmp_path / "store", "--backbone", "blocks", "--image-size", 96)
    assert done.status == 0, done.err
    assert json.loads(stvr("info", tmp_path / "store").out)["spec"]["maps"] == {
        "means": {"stride": 8, "steps": 2, "channels": 6}
    }
    prepared = stvr("prepare", "table", tmp_path / "world" / "tracks.csv", "--videos", videos,
                    "--held-out", tmp_path / "world" / "held_out_names.txt", "--out", tmp_path / "pairs.json")
    assert prepared.status == 0, prepared.err
    return tmp_path


def asked(stvr, place: Path, run: str) -> list[dict]:
    """Evaluates a run and asks it about two videos, by the command line."""
    ended = stvr("eval", "--checkpoint", place / run, "--store", place / "store", "--pairs", place / "pairs.json",
                 "--out", place / f"{run}_eval", "--audit", "--limit", 4)
    assert ended.status == 0, ended.err
    assert json.loads((place / f"{run}_eval" / "eval.json").read_text())["evaluated"].startswith("4 of ")
    first, *others = sorted((place / "world" / "videos").glob("*.mp4"))[:3]
    ended = stvr("locate", "--checkpoint", place / run, "--query", first, "--box", "0.2,0.1,0.8,0.9", "--at", 1.5,
                 *others, "--out", place / f"{run}_answers")
    assert ended.status == 0, ended.err
    return [json.loads(line) for line in (place / f"{run}_answers" / "tubelets.jsonl").read_text().splitlines()]


def test_a_head_from_outside_trains_resumes_is_evaluated_and_asked(stvr, place):
    (place / "own.toml").write_text("[head]\ncells = 3\n")
    flags = ["--frozen-backbone", "--store", place / "store", "--pairs", place / "pairs.json", "--head", "grid",
             "--config", place / "own.toml"]
    whole = stvr("train", *flags, "--out", place / "whole")
    assert whole.status == 0, whole.err
    lines = [json.loads(line) for line in (place / "whole" / "log.jsonl").read_text().splitlines()]
    assert len(lines) == 4  # the preset of the head itself
    assert all(line["total"] == pytest.approx(line["alike"] + line["weight"], abs=1e-5) for line in lines)
    options = train_options(None, place / "own.toml", {"head": {"name": "grid"}})
    with pytest.raises(Stopped):
        train(place / "store", place / "pairs.json", place / "run", options, report=stop_at(3))
    resumed = stvr("train", *flags, "--out", place / "run", "--resume")
    assert resumed.status == 0, resumed.err
    assert "4 steps, 2 of them now" in resumed.out
    assert_same_run(place / "whole", place / "run")
    found = asked(stvr, place, "run")
    assert found
    thirds = {0, 32, 64, 96}  # of the picture of 96 pixels: a grid of three boxes a side
    assert {edge for each in found for box in each["boxes"] for edge in box["box"]} <= thirds
    info = json.loads(stvr("info", place / "run").out)
    assert (info["head"]["name"], info["head"]["cells"]) == ("grid", 3)


def test_a_head_that_names_no_endpoint_reads_the_finest_map(installed, tmp_path):
    """It reads `batch.reference` and `features.only`: of a store of two maps it is given one."""
    store, pairs = write_store(tmp_path / "store", TWO).path, write_tiny_pairs(tmp_path / "pairs.json")
    run = train(store, pairs, tmp_path / "run", train_options(None, flags={"head": {"name": "grid"}})).run
    assert load_head(run).spec == TWO.only(["Mixed_4c"])
    assert evaluate(run, store, pairs)["evaluated"] == "5 of 5 pairs"


def test_a_propagation_from_outside_is_an_option_of_the_matching_head(stvr, place):
    small = "[head]\nwidth = 8\nproposal_width = 8\nnum_proposals = 6\nattention_width = 4\ntail_width = 8\n"
    (place / "own.toml").write_text(small + "tail_units = 1\nembedding_width = 4\n[head.propagation]\nshare = 0.25\n")
    ended = stvr("train", "--store", place / "store", "--pairs", place / "pairs.json", "--preset", "small", "--steps",
                 2, "--batch-size", 2, "--propagation", "lag", "--config", place / "own.toml", "--out", place / "run")
    assert ended.status == 0, ended.err
    assert json.loads(stvr("info", place / "run").out)["head"]["propagation"] == {"name": "lag", "share": 0.25}
    asked(stvr, place, "run")


def test_what_a_package_brings_is_on_the_menus_and_nothing_of_it_is_imported_for_that(stvr, installed, monkeypatch):
    assert "grid" in list(HEADS)
    assert "lag" in list(PROPAGATION)
    assert "blocks" in list(BACKBONES)
    ended = stvr("train", "--store", "s", "--pairs", "p", "--out", "o", "--head", "hydra")
    assert ended.status == 2
    assert "no head 'hydra'. Choose one of matching, nearest, classifier, grid." in ended.err


def test_a_package_that_cannot_be_imported_is_named(stvr, installed, monkeypatch):
    monkeypatch.setattr("sys.path", [path for path in __import__("sys").path if path != str(OUTSIDE)])
    monkeypatch.delitem(__import__("sys").modules, "grid_head", raising=False)
    ended = stvr("train", "--store", "s", "--pairs", "p", "--out", "o", "--head", "grid")
    assert ended.status == 2
    assert "the head 'grid' comes from grid_head:GRID, which cannot be imported" in ended.err
