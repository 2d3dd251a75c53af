"""Tiny videos with annotations in the forms that data sets publish, and the smallest training there is."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import av
import numpy as np
import torch
from scipy.io import savemat
from torchvision.models import get_model

ROOT = Path(__file__).resolve().parents[2]
WIDTH, HEIGHT, RATE = 64, 48, 25
BOX = (20, 30)  # of the actor: width, height in pixels
SMALL = """steps = 2
batch_size = 2
warmup_steps = 1
window_seconds = 0.67
max_query_seconds = 0.67
[head]
width = 8
proposal_width = 8
num_proposals = 6
attention_width = 4
tail_width = 8
tail_units = 1
embedding_width = 4
"""
DETECTOR = "fasterrcnn_mobilenet_v3_large_320_fpn"


def left_edge(frame: int, speed: int) -> int:
    return 2 + (frame * speed) % (WIDTH - BOX[0] - 4)


def film(path: Path, seconds: float, speed: int) -> int:
    """A bright box that moves to the right over noise, `speed` pixels a frame. Returns the number of frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = round(RATE * seconds)
    picture = np.random.default_rng(0).integers(0, 120, (HEIGHT, WIDTH, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=RATE)
        stream.width, stream.height = WIDTH, HEIGHT
        for frame in range(count):
            shown, left = picture.copy(), left_edge(frame, speed)
            shown[10 : 10 + BOX[1], left : left + BOX[0]] = 220
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shown)))
        container.mux(stream.encode())
    return count


def ucf101_24(folder: Path, videos: Mapping[str, int], seconds: float = 1.0) -> Path:
    """By name such as v_Biking_g01_c01 the label, counted from 0: FOLDER/pyannot.pkl and FOLDER/videos/CLASS/*.avi."""
    annotations = {}
    for video, label in videos.items():
        name = f"{video.split('_')[1]}/{video}"
        count = film(folder / f"videos/{name}.avi", seconds, 1 + label % 3)
        boxes = [(left_edge(frame, 1 + label % 3) * 5, 50, BOX[0] * 5, BOX[1] * 5) for frame in range(count)]
        tube = {"label": label, "sf": 0, "ef": count, "boxes": np.array(boxes, np.int16)}
        annotations[name] = {"numf": count, "label": label, "annotations": [tube]}
    (folder / "pyannot.pkl").write_bytes(pickle.dumps(annotations, protocol=2))
    return folder


def jhmdb(folder: Path, videos: Mapping[str, str], tests: set[str], seconds: float = 1.0) -> Path:
    """By name the class: FOLDER/puppet_mask, FOLDER/splits of split 1, FOLDER/videos/CLASS/*.avi."""
    classes = sorted(set(videos.values()))
    (folder / "splits").mkdir(parents=True)
    for video, name in videos.items():
        speed = 1 + classes.index(name) % 3
        count = film(folder / f"videos/{name}/{video}.avi", seconds, speed)
        mask = np.zeros((HEIGHT, WIDTH, count), np.uint8)
        for frame in range(count):
            left = left_edge(frame, speed)
            mask[10 : 10 + BOX[1], left : left + BOX[0], frame] = 1
        place = folder / "puppet_mask" / name / video
        place.mkdir(parents=True)
        savemat(place / "puppet_mask.mat", {"part_mask": mask})
    for name in classes:
        lines = [f"{video}.avi {2 if video in tests else 1}\n" for video in videos if videos[video] == name]
        (folder / f"splits/{name}_test_split1.txt").write_text("".join(lines))
    return folder


def ava(folder: Path, videos: Mapping[str, int], tests: set[str], seconds: int = 3) -> Path:
    """By name the action: FOLDER/ava_*_v2.1.csv and what belongs to them, FOLDER/videos/*.avi."""
    (folder / "videos").mkdir(parents=True)
    rows: dict[str, list[str]] = {"train": [], "val": []}
    for person, (video, action) in enumerate(videos.items()):
        film(folder / f"videos/{video}.avi", seconds, 1)
        rows["val" if video in tests else "train"] += [
            f"{video},{second:04d},0.1,0.2,0.8,0.8,{action},{person}\n" for second in range(seconds)
        ]  # fmt: skip
    for split, lines in rows.items():
        (folder / f"ava_{split}_v2.1.csv").write_text("".join(lines))
        (folder / f"ava_{split}_excluded_timestamps_v2.1.csv").write_text("another,0902\n")
    names = "".join(f'item {{\n  name: "action {index}"\n  id: {index}\n}}\n' for index in set(videos.values()))
    (folder / "ava_action_list_v2.1_for_activitynet_2018.pbtxt.txt").write_text(names)
    return folder


def real_clips(folder: Path, clips: Mapping[str, tuple[str, str, str]], seconds: float = 1.4) -> Path:
    """By name (set, class, group): FOLDER/manifest.csv, FOLDER/NAME.avi and FOLDER/NAME.json."""
    lines = ["file,set,class,group,boxes"]
    for video, (kind, name, group) in clips.items():
        count = film(folder / f"{video}.avi", seconds, 1 + len(name) % 3)
        lefts = [left_edge(frame, 1 + len(name) % 3) for frame in range(count)]
        boxes = [[left, 10, left + BOX[0], 10 + BOX[1]] for left in lefts]
        tube = {"label": name, "sf": 0, "ef": count, "boxes": boxes}
        (folder / f"{video}.json").write_text(json.dumps({
            "video": f"{video}.avi", "width": WIDTH, "height": HEIGHT, "fps": RATE, "frames": count, "tubes": [tube],
        }))  # fmt: skip
        lines.append(f"{video}.avi,{kind},{name},{group},{video}.json")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder


def detector_weights(path: Path) -> Path:
    """Of DETECTOR with five classes, made; it takes nearly everything for the second."""
    torch.manual_seed(0)
    network = get_model(DETECTOR, weights=None, weights_backbone=None, num_classes=5).eval()
    with torch.no_grad():
        network.roi_heads.box_predictor.cls_score.bias[2] = 5
    torch.save(network.state_dict(), path)
    return path


def run_script(script: str, *words: object, **variables: object) -> subprocess.CompletedProcess[str]:
    """A recipe of scripts/ with this Python, and what it is told in the environment."""
    given = {"STVR": f"{sys.executable} -m stvr", "PYTHON": sys.executable, "PYTHONPATH": ROOT, "OMP_NUM_THREADS": 1,
             "DEVICE": "cpu", **variables}  # fmt: skip
    return subprocess.run([ROOT / "scripts" / script, *map(str, words)], capture_output=True, text=True, check=False,
                          env={**os.environ, **{name: str(value) for name, value in given.items()}})  # fmt: skip


def cells(table: Path) -> list[list[str]]:
    """The rows of a Markdown table without its head."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.read_text().splitlines()[2:]]
