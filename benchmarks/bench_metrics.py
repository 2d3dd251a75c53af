"""Times frame-mAP of a million detections, video-mAP of UCF101-24's videos and AVA's evaluator, on one core.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/bench_metrics.py [pyannot.pkl]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from stvr.annotations.ucf101_24 import CLASSES, read_tubes, tube_rows
from stvr.metrics import ClipRecord, PairRecord, frame_map
from stvr.metrics.ava_frame_map import KeyframeBoxes, ava_frame_map
from stvr.metrics.video_map import LabelledTubelet, video_map
from stvr.structures import Span, Tubelet
from stvr.tubelets.overlaps import Floats

NUM_DETECTIONS = 1_000_000
A_CLIP = 25  # detections of one clip; frame-mAP of pairs
CLIPS_A_PAIR = 30
NUM_LABELS = 60
Result = TypeVar("Result")
GUESSES = 5  # jittered tubelets for each true one
UCF = Path(__file__).resolve().parents[2] / "shared/data/annotations/ucf101-24/pyannot.pkl"


def main(pyannot: Path) -> None:
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    records = some_pairs(random)
    seconds, result = timed(lambda: frame_map(records))
    show("frame-mAP at .3 .5 .7", seconds, f"{NUM_DETECTIONS:,} detections, {sum(result.boxes.values()):,} true boxes, "
         f"{NUM_DETECTIONS // A_CLIP:,} clips, {NUM_LABELS} labels", result.mean[0.5])
    found, truth = some_keyframes(random)
    seconds, actions = timed(lambda: ava_frame_map(found, truth, range(1, NUM_LABELS + 1)))
    show("AVA frame-mAP at .5", seconds, f"{len(found):,} rows, {len(truth):,} true boxes",
         float(np.mean([action.average_precision for action in actions.values()])))
    if pyannot.exists():
        tubes, guesses, num_videos = ucf_tubelets(pyannot, random)
        seconds, videos = timed(lambda: video_map(guesses, tubes))
        show("video-mAP at .2 .5 .5:.95", seconds, f"{num_videos:,} UCF101-24 videos, {len(tubes):,} tubes, "
             f"{len(guesses):,} detected ones", videos.mean[0.5])
    else:
        print(f"video-mAP was not timed: {pyannot} does not exist", file=sys.stderr)


def timed(work: Callable[[], Result]) -> tuple[float, Result]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def show(name: str, seconds: float, what: str, value: float) -> None:
    print(f"| {name} | {what} | {seconds:.2f} s | {value:.4f} |", flush=True)


def some_pairs(random: np.random.Generator) -> list[PairRecord]:
    """Two true boxes a clip; some of the detections are near them, the others anywhere."""
    num_clips = NUM_DETECTIONS // A_CLIP
    truth = some_boxes(random, num_clips * 2).reshape(num_clips, 2, 4)
    boxes = some_boxes(random, NUM_DETECTIONS).reshape(num_clips, A_CLIP, 4)
    boxes[:, :6] = np.repeat(truth, 3, 1) + random.normal(0, 0.03, (num_clips, 6, 4))
    scores = random.random((num_clips, A_CLIP))
    clips = [ClipRecord(*map(torch.from_numpy, each)) for each in zip(boxes, scores, truth, strict=True)]
    starts = range(0, num_clips, CLIPS_A_PAIR)
    return [PairRecord(f"{i % NUM_LABELS}", clips[start : start + CLIPS_A_PAIR]) for i, start in enumerate(starts)]


def some_keyframes(random: np.random.Generator) -> tuple[KeyframeBoxes, KeyframeBoxes]:
    """A million rows over 10,000 keyframes, four true boxes each."""
    keyframes = [(f"v{index // 100}", 900 + index % 100) for index in range(10_000)]
    truth = some_boxes(random, 4 * len(keyframes))
    labels = random.integers(1, NUM_LABELS + 1, len(truth))
    per_box = NUM_DETECTIONS // len(truth)
    boxes = np.repeat(truth, per_box, 0) + random.normal(0, 0.02, (NUM_DETECTIONS, 4))
    found_labels = np.where(random.random(NUM_DETECTIONS) < 0.2, np.repeat(labels, per_box),
                            random.integers(1, NUM_LABELS + 1, NUM_DETECTIONS))
    return (
        KeyframeBoxes([key for key in keyframes for _ in range(4 * per_box)], found_labels,
                      random.random(NUM_DETECTIONS), boxes),
        KeyframeBoxes([key for key in keyframes for _ in range(4)], labels, np.ones(len(truth)), truth),
    )


def some_boxes(random: np.random.Generator, number: int) -> Floats:
    corner = random.random((number, 2)) * 0.7
    return np.hstack([corner, corner + 0.1 + 0.2 * random.random((number, 2))])


def ucf_tubelets(path: Path, random: np.random.Generator) -> tuple[list[LabelledTubelet], list[LabelledTubelet], int]:
    """The true tubes, box by box, and for each some that are shifted, shortened and sometimes mislabelled."""
    videos = read_tubes(path)
    truth, found = [], []
    for video, content in videos.items():
        for tube in content["annotations"]:
            rows = tube_rows(video, 0, tube, 1.0)
            boxes = rows[["x1", "y1", "x2", "y2"]].to_numpy(copy=True)
            start, label = int(tube["sf"]), int(tube["label"])
            truth.append(labelled(video, CLASSES[label], start, boxes, 1.0))
            for _ in range(GUESSES):
                first = int(random.integers(0, 1 + len(boxes) // 2))
                guess = label if random.random() < 0.7 else int(random.integers(len(CLASSES)))
                shifted = boxes[first:] + random.normal(0, 0.03, (len(boxes) - first, 4)) + random.normal(0, 0.02, 4)
                found.append(labelled(video, CLASSES[guess], start + first, shifted, float(random.random())))
    return truth, found, len(videos)


def labelled(video: str, label: str, start: int, boxes: Floats, score: float) -> LabelledTubelet:
    return LabelledTubelet(label, Tubelet(Span(video, start, start + len(boxes)), torch.from_numpy(boxes), score))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else UCF)
