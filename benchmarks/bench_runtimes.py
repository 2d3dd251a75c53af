"""Core seconds of I3D to Mixed_4c with every runtime installed here, and how far each is from torch in float32.

    OMP_NUM_THREADS=1 python benchmarks/bench_runtimes.py [--rounds 7]

Weights are random, drawn as He et al. do: the analytic ones have so few taps that rounding hardly shows. In every round
each runs once, in turn, on one thread, so that core seconds mean the same on a busy machine. ONNX Runtime and OpenVINO
are timed where they are installed (onnx, onnxscript, onnxruntime; openvino).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import process_time

import torch
from torch import Tensor, nn

from stvr.backbones.fold import fold
from stvr.backbones.i3d import I3D
from stvr.backbones.inflated import FromFrames
from stvr.backbones.runtimes import RUNTIMES
from stvr.machine import processor

CLIPS = 2


def build_network() -> nn.Module:
    torch.manual_seed(0)
    model = I3D("Mixed_4c").eval()
    for layer in model.modules():
        if isinstance(layer, nn.Conv3d):
            nn.init.kaiming_normal_(layer.weight)
    return FromFrames(fold(model))


def made_frames() -> Tensor:
    """Smooth clips (B, 8, 320, 320, 3)."""
    coarse = torch.randint(0, 256, (CLIPS, 3, 4, 40, 40), generator=torch.Generator().manual_seed(0)).float()
    smooth = nn.functional.interpolate(coarse, size=(8, 320, 320), mode="trilinear")
    return smooth.movedim(1, -1).byte().contiguous()


def by_onnxruntime(frames: Tensor, folder: Path) -> Callable[[Tensor], Tensor]:
    import onnxruntime

    path = str(folder / "i3d.onnx")
    torch.onnx.export(build_network(), (frames,), path, dynamo=True, optimize=True, verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda frames: torch.from_numpy(session.run(None, {name: frames.numpy()})[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    frames = made_frames()
    variants: dict[str, Callable[[Tensor], Tensor]] = {}
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        for runtime, build in RUNTIMES.items():
            for dtype in (torch.float32, torch.bfloat16):
                if runtime != "openvino" or find_spec("openvino"):
                    variants[f"{runtime}, {str(dtype).removeprefix('torch.')}"] = build(build_network(), dtype)
        if find_spec("onnxruntime"):
            variants["ONNX Runtime, float32"] = by_onnxruntime(frames, Path(folder))
        maps = {name: variant(frames).float() for name, variant in variants.items()}  # compiles, warms up
        seconds: dict[str, list[float]] = {name: [] for name in variants}
        for _ in range(options.rounds):
            for name, variant in variants.items():
                start = process_time()
                variant(frames)
                seconds[name].append((process_time() - start) / CLIPS)
    print(f"{processor()}, {torch.get_num_threads()} thread, torch {torch.__version__}, {options.rounds} rounds\n\n"
          "| runtime | core s / clip | against torch, bfloat16 | relative error |\n|---|---|---|---|")
    wanted = maps["torch, float32"]
    for name, each in seconds.items():
        times = median(a / b for a, b in zip(seconds["torch, bfloat16"], each, strict=True))
        error = float((maps[name] - wanted).norm() / wanted.norm())
        print(f"| {name} | {median(each):.3f} | {times:.2f} x | {error:.1e} |")


if __name__ == "__main__":
    main()
