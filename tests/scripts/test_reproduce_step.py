"""The script that makes the row of STEP's table runs dry: on a made world in files of the official form, twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stvr.world.synthetic import write_world

ROOT = Path(__file__).resolve().parents[2]
SMALL = "steps = 2\nbatch_size = 2\nwarmup_steps = 1\n[head]\nwidth = 8\nreduced = 4\nhidden = 8\nbottleneck = 4\n"


def official_files(world: Path, ava: Path) -> None:
    """The last training video of a world validates, because actions of its test videos are in no other ones."""
    ava.mkdir()
    rows = (world / "train.csv").read_text().splitlines(keepends=True)
    last = rows[-1].split(",")[0]
    for name, kept in (("train", lambda video: video != last), ("val", lambda video: video == last)):
        (ava / f"ava_{name}_v2.1.csv").write_text("".join(row for row in rows if kept(row.split(",")[0])))
        (ava / f"ava_{name}_excluded_timestamps_v2.1.csv").write_text(f"{last},0000\n")
    (ava / "ava_action_list_v2.1_for_activitynet_2018.pbtxt.txt").write_text((world / "actions.pbtxt").read_text())


@pytest.mark.slow
def test_the_row_of_the_table_comes_from_official_files_and_a_second_call_does_nothing_again(tmp_path):
    world = tmp_path / "world"
    write_world(world, size="tiny", workers=1, num_train_videos=3, num_test_videos=1)
    official_files(world, tmp_path / "ava")
    (tmp_path / "small.toml").write_text(SMALL)
    given = {
        "STVR": f"{sys.executable} -m stvr", "PYTHON": sys.executable, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
        "DEVICE": "cpu", "WORKERS": "1", "AT": "0.5", "WEIGHTS": "analytic", "ENDPOINT": "Mixed_3b", "IMAGE_SIZE": "64",
        "CONTEXT": "clip", "FLIP": "0", "PRETRAIN": "small_pretrain", "PRESET": "small",
        "CONFIG": str(tmp_path / "small.toml"),
    }  # fmt: skip
    words = [ROOT / "scripts/reproduce_step.sh", tmp_path / "ava", world / "videos", tmp_path / "work"]
    for trained in (2, 0):
        ended = subprocess.run(words, env={**os.environ, **given}, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.count("head.safetensors: 2 steps, 2 of them now") == trained
    row = (tmp_path / "work" / "row.md").read_text().splitlines()[-1].split(" | ")
    figures = json.loads((tmp_path / "work" / "run.eval" / "eval.json").read_text())
    assert row[2:5] == [f"{100 * value:.1f}" for value in figures["steps"].values()]  # the last by the official file
    assert row[5] == "3 of 3 keyframes |"  # four seconds, one of them excluded


def test_what_is_missing_is_said_in_one_line(tmp_path):
    words = [ROOT / "scripts/reproduce_step.sh", tmp_path, tmp_path, tmp_path / "work"]
    ended = subprocess.run(words, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "there is no ava_train_v2.1.csv" in ended.stderr
