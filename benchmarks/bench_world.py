"""Times the synthetic world on one core: rendered frames a second, alone, with masks, and as video files.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/bench_world.py [image sizes]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from stvr.world.options import WorldOptions, world_options
from stvr.world.scenes import Scene, build_scene
from stvr.world.synthetic import write_video

SECONDS = 10  # of each scene
SCENES = ("train_0000", "train_0001", "test_0000")
A_PART = 24  # frames drawn at once


def main(sizes: list[int]) -> None:
    print("| pixels | dials | actors | frames | frames | frames and masks | frames, encoded |")
    for size in sizes:
        for name, options in worlds(size).items():
            scenes = [build_scene(options, scene) for scene in SCENES]
            actors = "+".join(str(len(scene.actors)) for scene in scenes)
            total = sum(scene.num_frames for scene in scenes)
            rates = [f"{total / timed(options, job):.0f} /s" for job in WORK]
            print(f"| {size} | {name} | {actors} | {total} | {' | '.join(rates)} |", flush=True)


def worlds(size: int) -> dict[str, WorldOptions]:
    common = {"image_size": size, "seconds": (SECONDS, SECONDS)}
    return {"small": world_options("small", common), "full": world_options("full", {**common, "actors": (4, 4)})}


def timed(options: WorldOptions, job: Callable[[Scene], None]) -> float:
    """Seconds for all scenes, building them included."""
    start = time.perf_counter()
    for name in SCENES:
        job(build_scene(options, name))
    return time.perf_counter() - start


def draw(scene: Scene) -> None:
    for start in range(0, scene.num_frames, A_PART):
        scene.frames(start, start + A_PART)


def draw_masks(scene: Scene) -> None:
    for start in range(0, scene.num_frames, A_PART):
        scene.frames(start, start + A_PART)
        scene.masks(start, start + A_PART)


def encode(scene: Scene) -> None:
    with tempfile.TemporaryDirectory() as folder:
        parts = (scene.frames(start, start + A_PART) for start in range(0, scene.num_frames, A_PART))
        write_video(Path(folder) / "scene.mp4", parts, scene.options.fps, scene.options.image_size)


WORK = (draw, draw_masks, encode)

if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [112, 160, 320])
