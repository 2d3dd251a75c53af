"""What I3D along a video costs beside clips by themselves, and how far features of a window cut out are from it.

    python benchmarks/bench_context.py [--weights FILE] [--sizes 160 320] [--endpoints Mixed_4c Mixed_5c] [--rounds 5]

One thread, timed by the processor's clock, which stands still while others run; both ways take turns, eight clips each
a round, and the fastest rounds are compared. Clips by themselves go in pairs, as `stvr extract` feeds them on a CPU.
Errors are of a video of the synthetic world, float32, each the norm of the difference over the norm of what one run
over the whole video gives; a window sees its own frames alone, and every clip is taken from one window.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from stvr.backbones import ENDPOINTS, Backbone, load_backbone
from stvr.machine import processor
from stvr.structures import ClipSpec
from stvr.world.options import WorldOptions
from stvr.world.scenes import build_scene

CHUNK = 8  # clips
WINDOWS = (1, 2, 4, 8)  # clips: 8 to 64 frames


def world_video(side: int, seconds: int) -> Tensor:
    """Clips (N, 8, S, S, 3) of people that act before a moving camera."""
    scene = build_scene(WorldOptions(image_size=side, seconds=(seconds, seconds)), "test_0000")
    return torch.from_numpy(scene.frames()).unflatten(0, (-1, 8))


def seconds_of(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def cost(backbone: Backbone, side: int, rounds: int) -> tuple[float, float]:
    """Seconds a clip, by themselves and along the video."""
    clips, stream = world_video(side, 3)[:CHUNK], backbone.stream(ClipSpec(image_size=side))
    ways: dict[str, Callable[[], object]] = {"alone": lambda: backbone.maps(clips), "along": lambda: stream.push(clips)}
    best = dict.fromkeys(ways, float("inf"))
    for round_ in range(rounds + 1):  # the first warms up, and fills the stream
        for name, run in ways.items():
            spent = seconds_of(run)
            if round_:
                best[name] = min(best[name], spent / CHUNK)
    return best["alone"], best["along"]


def in_windows(backbone: Backbone, clips: Tensor, size: int) -> dict[str, Tensor]:
    """Every clip's maps (N, time, row, column, channel) by endpoint, each window of `size` clips a video of its own."""
    found: dict[str, list[Tensor]] = {name: [] for name in backbone.endpoint.split(",")}
    for window in clips.split(size):
        for name, maps in backbone.stream(ClipSpec()).push(window, last=True).items():
            found[name].append(maps)
    return {name: torch.cat(maps) for name, maps in found.items()}


def print_errors(weights: Path | None, side: int, seconds: int) -> None:
    backbone = load_backbone(weights=weights, endpoint=",".join(ENDPOINTS), precision="float32")
    clips = world_video(side, seconds)
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
    parser.add_argument("--error-size", type=int, default=96, help="pixels of the video of the errors; 0: none")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{processor()}, one thread, torch {torch.__version__}, float32\n")
    print("| endpoint | image size | s / clip by itself | s / clip along the video | ratio |\n|---|---|---|---|---|")
    for endpoint in options.endpoints:
        backbone = load_backbone(weights=options.weights, endpoint=endpoint, precision="float32")
        for side in options.sizes:
            alone, along = cost(backbone, side, options.rounds)
            print(f"| {endpoint} | {side} | {alone:.3f} | {along:.3f} | {along / alone:.2f} |", flush=True)
    if options.error_size:
        print()
        print_errors(options.weights, options.error_size, seconds=10)


if __name__ == "__main__":
    main()
