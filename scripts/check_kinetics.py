"""Prints what a trained I3D sees in each video: the five likeliest of Kinetics' actions, with probabilities.

Usage: python scripts/check_kinetics.py --weights FILE|NAME [--labels FILE] VIDEO...
Seen are the middle 64 frames of a video at 25 a second, all of a shorter one; the middle 224 x 224 pixels where its
shorter side has 256. Without names of the classes their numbers are printed, from 0.
"""

from __future__ import annotations

import argparse
import sys
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import center_crop, resize

from stvr.backbones import Backbone, load_backbone
from stvr.commands import video_files
from stvr.video.clips import count_instants, on_screen
from stvr.video.decode import probe
from stvr.video.pictures import Picture, frames, upright

FRAMES, RATE, SHORTER_SIDE, SIDE = 64, 25, 256, 224  # as Carreira and Zisserman 2017 train
NUM_SHOWN = 5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="+", type=Path, metavar="VIDEO", help="video files, folders of them")
    parser.add_argument("--weights", default="i3d-kinetics-400",
                        help="of I3D with its last layer: a file, or a name as `stvr weights list` has it")
    parser.add_argument("--labels", type=Path, help="the names of the classes in their order, one a line")
    options = parser.parse_args()
    try:
        show(video_files(options.videos), options.weights, options.labels)
    except (ValueError, LookupError, OSError) as error:
        print(f"check_kinetics: {error}", file=sys.stderr)
        return 2
    return 0


def show(videos: list[Path], weights: str, labels: Path | None) -> None:
    """One line a video."""
    backbone = load_backbone("i3d", weights, "Logits", "float32")
    names = labels.read_text(encoding="utf-8").splitlines() if labels else None
    for video in videos:
        chances = probabilities(backbone, middle_of(video))
        if names and len(names) != len(chances):
            raise ValueError(f"{labels}: wanted the names of {len(chances)} classes, one a line, got {len(names)}. "
                             "Give the file that goes with the weights.")
        likely, classes = chances.topk(min(NUM_SHOWN, len(chances)))
        seen = [f"{names[number] if names else number} {chance:.2f}"
                for number, chance in zip(classes.tolist(), likely.tolist(), strict=True)]
        print(f"{video.name}: {', '.join(seen)}", flush=True)


def probabilities(backbone: Backbone, clip: Tensor) -> Tensor:
    """A clip (T, H, W, 3) uint8 -> (classes,) that add to 1, from the mean of the logits."""
    return backbone(clip[None]).float().mean((0, 1, 2, 3)).softmax(0)


def middle_of(video: Path) -> Tensor:
    """At most FRAMES frames (T, SIDE, SIDE, 3) uint8."""
    info = probe(video)
    duration = int(info.ticks[-1]) + info.tail
    start = max(count_instants(duration, info.time_base, RATE) - FRAMES, 0) // 2
    shown = (frame for _, frame, count in on_screen(frames(info), info.tail, info.time_base, RATE)
             for _ in range(count))
    return torch.stack([cropped(upright(frame, info)) for frame in islice(shown, start, start + FRAMES)])


def cropped(picture: Picture) -> Tensor:
    """(H, W, 3) uint8 of any size -> the middle (SIDE, SIDE, 3) of it."""
    pixels = torch.from_numpy(picture).movedim(-1, 0)
    return center_crop(resize(pixels, [SHORTER_SIDE], antialias=True), [SIDE]).movedim(0, -1)


if __name__ == "__main__":
    sys.exit(main())
