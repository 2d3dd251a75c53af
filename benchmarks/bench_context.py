"""What I3D along a video costs beside clips by themselves, and how far features of a window cut out are from it.

    python benchmarks/bench_context.py [--weights FILE] [--sizes 160 320] [--endpoints Mixed_4c Mixed_5c] [--video FILE]

One thread, timed by the processor's clock, which stands still while others run. Both ways take turns, eight clips each
a round, and the fastest rounds are compared: clips by themselves in pairs, clips along the video in chunks, as `stvr
extract` feeds them on a CPU. Errors are of a video of the synthetic world, or of a file, in float32: the norm of the
difference over the norm of what one run over the whole video gives. A window sees its own frames alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stvr.backbones import ENDPOINTS, Backbone, load_backbone
from stvr.extract.in_context import CHUNK_FRAMES
from stvr.machine import processor
from stvr.structures import ClipSpec
from stvr.video.decode import decode_clips
from stvr.world.options import WorldOptions
from stvr.world.scenes import build_scene

CLIPS = 8  # a round
WINDOWS = (1, 2, 4, 8)  # clips: 8 to 64 frames


def world_video(side: int, seconds: int) -> Tensor:
    """Clips (N, 8, S, S, 3) of people that act before a moving camera."""
    scene = build_scene(WorldOptions(image_size=side, seconds=(seconds, seconds)), "test_0000")
    return torch.from_numpy(scene.frames()).unflatten(0, (-1, 8))


def file_video(path: Path, side: int) -> Tensor:
    return torch.from_numpy(np.stack([frames for _, frames, _ in decode_clips(path, ClipSpec(image_size=side))]))


def seconds_of(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def cost(backbone: Backbone, side: int, rounds: int) -> tuple[float, float]:
    """Seconds a clip, by themselves and along the video."""
    clips, stream = world_video(side, 3)[:CLIPS], backbone.stream(ClipSpec(image_size=side))
    chunks = clips.split(CHUNK_FRAMES // 8)
    ways: dict[str, Callable[[], object]] = {
        "alone": lambda: backbone.maps(clips), "along": lambda: [stream.push(chunk) for chunk in chunks]
    }  # fmt: skip
    best = dict.fromkeys(ways, float("inf"))
    for round_ in range(rounds + 1):  # the first warms up, and fills the stream
        for name, run in ways.items():
            spent = seconds_of(run)
            if round_:
                best[name] = min(best[name], spent / CLIPS)
    return best["alone"], best["along"]


def in_windows(backbone: Backbone, clips: Tensor, size: int) -> dict[str, Tensor]:
    """Every clip's maps (N, time, row, column, channel) by endpoint, each window of `size` clips a video of its own."""
    found: dict[str, list[Tensor]] = {name: [] for name in backbone.endpoint.split(",")}
    for window in clips.split(size):
        for name, maps in backbone.stream(ClipSpec()).push(window, last=True).items():
            found[name].append(maps)
    return {name: torch.cat(maps) for name, maps in found.items()}


def print_errors(weights: Path | None, video: Path | None, side: int) -> None:
    backbone = load_backbone(weights=weights, endpoint=",".join(ENDPOINTS), precision="float32")
    clips = file_video(video, side) if video else world_video(side, 10)
    whole = in_windows(backbone, clips, len(clips))
    print(f"| endpoint | {' | '.join(f'{8 * size} frames' for size in WINDOWS)} |\n|---|{'---|' * len(WINDOWS)}")
    errors = {size: in_windows(backbone, clips, size) for size in WINDOWS}
    for name, expected in whole.items():
        shares = [float((errors[size][name] - expected).norm() / expected.norm()) for size in WINDOWS]
        print(f"| {name} | {' | '.join(f'{share:.3f}' for share in shares)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--sizes", type=int, nargs="*", default=[160, 320])
    parser.add_argument("--endpoints", nargs="+", default=["Mixed_4c", "Mixed_5c"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--video", type=Path, help="the errors are of its clips")
    parser.add_argument("--error-size", type=int, default=96, help="pixels of the video of the errors")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{processor()}, one thread, torch {torch.__version__}, float32\n")
    print("| endpoint | image size | s / clip by itself | s / clip along the video | ratio |\n|---|---|---|---|---|")
    for endpoint in options.endpoints:
        backbone = load_backbone(weights=options.weights, endpoint=endpoint, precision="float32")
        for side in options.sizes:
            alone, along = cost(backbone, side, options.rounds)
            print(f"| {endpoint} | {side} | {alone:.3f} | {along:.3f} | {along / alone:.2f} |", flush=True)
    print()
    print_errors(options.weights, options.video, options.error_size)


if __name__ == "__main__":
    main()
