"""How far I3D's features at Mixed_4c differ between settings, on weights whose sums round; a table in Markdown.

    python benchmarks/bench_rounding.py [--size 160]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stvr.backbones import PRECISIONS
from stvr.backbones.fold import fold
from stvr.backbones.i3d import I3D
from stvr.backbones.inflated import FromFrames
from stvr.backbones.runtimes import Eager, instruction_set

CLIPS = 4
OTHER_CPUS = {  # what oneDNN and torch may use
    "AVX-512 without BF16": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "SSE4.1": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"},
}


def build() -> nn.Module:
    """A network of frames, with random weights drawn as He et al. do and batch norms with random statistics."""
    torch.manual_seed(7)
    model = I3D("Mixed_4c")
    for layer in model.modules():
        if isinstance(layer, nn.Conv3d):
            nn.init.kaiming_normal_(layer.weight)
        elif isinstance(layer, nn.BatchNorm3d):
            for values in (layer.bias.data, layer.running_mean):
                values.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
    return FromFrames(fold(model))


def frames_of(size: int) -> Tensor:
    """Blotches, (CLIPS, 8, size, size, 3) uint8."""
    noise = torch.rand(CLIPS, 3, 8, size // 4, size // 4, generator=torch.Generator().manual_seed(1))
    return F.interpolate(noise * 255, (8, size, size), mode="trilinear").movedim(1, -1).to(torch.uint8)


@torch.inference_mode()
def maps(network: nn.Module, frames: Tensor, threads: int, batch: int) -> Tensor:
    torch.set_num_threads(threads)
    return torch.cat([network(clips) for clips in frames.split(batch)]).half()


def row(name: str, ours: Tensor, theirs: Tensor) -> None:
    """Units: steps of float16 at the value."""
    units = (ours.view(torch.int16).int() - theirs.view(torch.int16).int()).abs()
    differ = units[units > 0]
    by_one = f"{(differ == 1).float().mean():.0%}" if len(differ) else "-"
    largest = float((ours.float() - theirs.float()).abs().max() / ours.max())
    print(f"| {name} | {len(differ) / units.numel():.3%} | {by_one} | {largest:.1e} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--save", type=Path, help="only the features, into FOLDER/PRECISION: for the other CPUs")
    options = parser.parse_args()
    frames = frames_of(options.size)
    if options.save:
        torch.save(maps(Eager(build(), PRECISIONS[options.save.name]), frames, 1, 2), options.save)
        return
    for name, dtype in PRECISIONS.items():
        network = Eager(build(), dtype)
        ours = maps(network, frames, 1, 2)
        print(f"\n{name} on {instruction_set('cpu')}, torch {torch.__version__}, {options.size} pixels\n\n"
              "| against one thread, two clips at once | values that differ | of these by one unit | "
              "largest difference / largest value |\n|---|---|---|---|")
        settings = [*product((1, 2, 3, 4), (1, 2, 3, 4))]
        others = [maps(network, frames, *each) for each in settings]
        row(f"{len(settings)} numbers of threads and clips", ours.repeat(len(settings), 1, 1, 1, 1), torch.cat(others))
        for threads, batch in ((1, 1), (1, 2), (2, 2)):
            theirs = maps(network.network, frames, threads, batch)
            row(f"torch left alone, {threads} threads, {batch} clips", ours, theirs)
        for cpu, environment in OTHER_CPUS.items():
            with tempfile.TemporaryDirectory() as folder:
                words = [sys.executable, __file__, "--size", str(options.size), "--save", f"{folder}/{name}"]
                subprocess.run(words, env=os.environ | environment, check=True)
                row(cpu, ours, torch.load(f"{folder}/{name}"))


if __name__ == "__main__":
    main()
