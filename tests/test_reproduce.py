"""The scripts that reproduce published tables: dry, on made videos in the official form, with made weights."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision.models import get_model

from stvr.backbones.i3d_r50 import ResNet50

ROOT = Path(__file__).parents[1]
CLASSES = ("Moving something down", "Moving something up")
VIDEOS = {str(number): CLASSES[number % 2] for number in range(1, 7)}  # the last two validate


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Six videos of 10 pictures of 48 x 32, and no pictures of a seventh."""
    folder = tmp_path_factory.mktemp("20bn")
    for video, label in VIDEOS.items():
        (folder / video).mkdir()
        for number in range(10):
            picture = np.zeros((32, 48, 3), np.uint8)
            row = 2 * number if label == CLASSES[0] else 20 - 2 * number
            picture[row : row + 12, 8:20] = 255
            Image.fromarray(picture).save(folder / video / f"{number + 1:05d}.jpg")
    return folder


def run(script: str, **variables: object) -> subprocess.CompletedProcess[str]:
    paths = {"STVR": f"{sys.executable} -m stvr", "PYTHON": sys.executable, "PYTHONPATH": str(ROOT),
             "OMP_NUM_THREADS": 1, **variables}  # fmt: skip
    return subprocess.run([ROOT / "scripts" / script], env={**os.environ, **{k: str(v) for k, v in paths.items()}},
                          capture_output=True, text=True, check=False)  # fmt: skip


def cells(path: Path) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in path.read_text().splitlines()[2:]]


def test_the_rows_of_region_graphs_come_from_the_official_lists(frames, tmp_path):
    torch.manual_seed(0)
    save_file(ResNet50().state_dict(), tmp_path / "i3d_r50.safetensors")
    lines = [f"{video};{label}" for video, label in VIDEOS.items()] + [f"7;{CLASSES[1]}"]
    for name, chosen in (("train", lines[:4]), ("validation", lines[4:]), ("labels", CLASSES)):
        (tmp_path / f"something-something-v1-{name}.csv").write_text("\n".join(chosen) + "\n")
    given = {"WEIGHTS": tmp_path / "i3d_r50.safetensors", "LISTS": tmp_path, "FRAMES": frames, "OUT": tmp_path / "out",
             "IMAGE_SIZE": 32, "BOXES": "grid", "EPOCHS": 2, "BATCH_SIZE": 4, "SEGMENTS": 2, "WIDTH": 4,
             "ROWS": "i3d both"}  # fmt: skip
    ended = run("reproduce_strg.sh", **given)
    assert ended.returncode == 0, ended.stderr
    assert "2 classes, 4 training videos, 2 epochs in 2 steps of 4" in ended.stdout
    rows = cells(tmp_path / "out" / "table.md")
    reducer, graphs = 2048 * 4 + 4, (2 + 3 + 6) * 4**2 + 6 * 2 * 4
    assert [row[:2] for row in rows] == [["I3D alone", f"{reducer + 4 * 2 + 2:,}"],
                                         ["+ both", f"{reducer + graphs + 8 * 2 + 2:,}"]]  # fmt: skip
    assert {row[4] for row in rows} == {"2 of 3"}  # there are no pictures of the third
    assert {row[3] for row in rows} == {"100.0"}  # of two classes, the right one is among five


def test_the_table_of_temporal_blocks_comes_from_the_official_lists_and_goes_on_where_it_stopped(frames, tmp_path):
    torch.manual_seed(0)
    save_file(get_model("squeezenet1_1", weights=None).state_dict(), tmp_path / "squeezenet.safetensors")
    lines = [f"{video} 10 {CLASSES.index(label)}" for video, label in VIDEOS.items()]
    for name, chosen in (("train_videofolder", lines[:4]), ("val_videofolder", lines[4:]), ("category", CLASSES)):
        (tmp_path / f"{name}.txt").write_text("\n".join(chosen) + "\n")
    given = {"WEIGHTS": tmp_path / "squeezenet.safetensors", "LISTS": tmp_path, "FRAMES": frames,
             "OUT": tmp_path / "out", "IMAGE_SIZE": 64, "EPOCHS": 2, "BATCH_SIZE": 4, "BLOCKS": "gru",
             "SEGMENTS": 2}  # fmt: skip
    ended = run("reproduce_stmodeling.sh", **given)
    assert ended.returncode == 0, ended.stderr
    kept = [path for name in ("*.mov", "*.safetensors", "eval.json") for path in (tmp_path / "out").rglob(name)]
    written = {path: path.stat().st_mtime_ns for path in kept}
    assert len(written) == 6 + 2 + 1  # videos; head and state of the run; figures
    again = run("reproduce_stmodeling.sh", **{**given, "BLOCKS": "gru rnn_tanh"})
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in written} == written
    rows = cells(tmp_path / "out" / "table.md")
    projection, classifier = 512 * 256 + 256, 256 * 2 + 2
    assert [row[:2] for row in rows] == [
        ["squeezenet1_1, gru, 2 segments", f"{projection + 3 * (2 * 256**2 + 2 * 256) + classifier:,}"],
        ["squeezenet1_1, rnn_tanh, 2 segments", f"{projection + 2 * 256**2 + 2 * 256 + classifier:,}"],
    ]
    assert {row[4] for row in rows} == {"2 of 2"}
