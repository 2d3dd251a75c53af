"""What eight bits would gain and cost: I3D to Mixed_4c quantised by NNCF and run by OpenVINO, on real clips.

    OMP_NUM_THREADS=1 python benchmarks/bench_int8.py VIDEOS --weights i3d-kinetics-400 [--calibrate 16] [--clips 24]

Needs openvino and nncf. Videos are drawn with a fixed seed; those that calibrate are not among those that are judged.
Errors are relative to torch in float32, over all clips; in brackets those of the best and the worst clip.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from time import process_time
from typing import Any

import torch
from torch import Tensor

from stvr.backbones import load_backbone
from stvr.backbones.runtimes import RUNTIMES, import_openvino, instruction_set
from stvr.machine import processor
from stvr.structures import ClipSpec
from stvr.video.decode import decode_clips
from stvr.video_names import VIDEO_ENDINGS

SECOND = 1  # the clip of each video that is taken
ROUNDS = 5


def clips_of(videos: Sequence[Path], count: int) -> list[Tensor]:
    """One clip (1, 8, 320, 320, 3) of each video that is long enough."""
    return list(islice(found(videos), count))


def found(videos: Sequence[Path]) -> Iterator[Tensor]:
    for video in videos:
        for _, frames, _ in islice(decode_clips(video, ClipSpec()), SECOND, SECOND + 1):
            yield torch.from_numpy(frames)[None].clone()


def by_openvino(model: Any) -> Callable[[Tensor], Tensor]:
    hints = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY",
             "INFERENCE_NUM_THREADS": torch.get_num_threads()}  # fmt: skip
    compiled = import_openvino().Core().compile_model(model, "CPU", hints)
    return lambda clip: torch.from_numpy(compiled(clip.numpy())[0].copy())


def quantised(graph: Any, clips: Sequence[Tensor]) -> dict[str, Callable[[Tensor], Tensor]]:
    import nncf

    data, openvino = nncf.Dataset([clip.numpy() for clip in clips]), import_openvino()
    ways: dict[str, dict[str, Any]] = {
        "int8, fast bias correction": {},
        "int8, bias correction layer by layer": {"fast_bias_correction": False},
    }
    return {name: by_openvino(nncf.quantize(openvino.convert_model(graph), data, subset_size=len(clips), **way))
            for name, way in ways.items()}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path)
    parser.add_argument("--weights", default="i3d-kinetics-400")
    parser.add_argument("--calibrate", type=int, default=16, help="Clips that NNCF sees.")
    parser.add_argument("--clips", type=int, default=24, help="Clips that the error is measured on.")
    options = parser.parse_args()
    videos = sorted(path for path in options.videos.rglob("*") if path.suffix.lower() in VIDEO_ENDINGS)
    random.Random(0).shuffle(videos)
    half = len(videos) // 2
    seen, asked = clips_of(videos[:half], options.calibrate), clips_of(videos[half:], options.clips)
    network = load_backbone("i3d", options.weights, precision="float32").plain
    with torch.no_grad():
        graph = torch.export.export(network, (torch.zeros_like(seen[0]),))
    ways: dict[str, Callable[[Tensor], Any]] = {
        "torch": RUNTIMES["torch"](network, torch.float32),
        "winograd": RUNTIMES["winograd"](network, torch.float32),
        "OpenVINO, float32": by_openvino(import_openvino().convert_model(graph)),
        **quantised(graph, seen),
    }
    print(f"{processor()} ({instruction_set('cpu')}), {torch.get_num_threads()} thread; {len(seen)} clips calibrate, "
          f"{len(asked)} are judged.\n\n| | core s / clip | relative error |\n|---|---|---|")
    with torch.inference_mode():
        exact = [ways["torch"](clip) for clip in asked]
        size = sum(float(each.square().sum()) for each in exact)
        for name, way in ways.items():
            wrong = [float((way(clip) - each).square().sum()) for clip, each in zip(asked, exact, strict=True)]
            each = [(error / float(map_.square().sum())) ** 0.5 for error, map_ in zip(wrong, exact, strict=True)]
            print(f"| {name} | {fastest(way, asked[0]):.3f} | {(sum(wrong) / size) ** 0.5:.1e} "
                  f"({min(each):.1e} to {max(each):.1e}) |", flush=True)


def fastest(way: Callable[[Tensor], Any], clip: Tensor) -> float:
    """Core seconds of the fastest of ROUNDS."""
    times = []
    for _ in range(ROUNDS):
        start = process_time()
        way(clip)
        times.append(process_time() - start)
    return min(times)


if __name__ == "__main__":
    main()
