"""Times I3D to Mixed_4c on this CPU: plain, folded float32, folded bfloat16; prints a table in Markdown.

    python benchmarks/bench_i3d.py [--rounds 5] [--sizes 320 160]

The three take turns, so that a busy machine slows all of them alike; ratios are those of the fastest rounds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from time import perf_counter

import torch
from torch import Tensor

from stvr.backbones.analytic import analytic_state
from stvr.backbones.fold import fold
from stvr.backbones.i3d import I3D
from stvr.backbones.runtimes import Eager
from stvr.backbones.weights.load import load_state
from stvr.machine import processor


def build_variants() -> dict[str, Callable[[Tensor], Tensor]]:
    """Each takes clips (B, 3, 8, S, S) in channels_last_3d, the layout of decoded frames."""
    model = I3D("Mixed_4c").eval()
    load_state(model, analytic_state(model))
    folded, half = fold(model), fold(model).bfloat16()
    return {
        "plain, float32": lambda clips: model(clips.contiguous()),
        "folded, float32": Eager(folded, torch.float32),  # as a backbone runs it
        "folded, bfloat16": lambda clips: half(clips.bfloat16()),
    }


@torch.inference_mode()
def seconds_a_clip(variants: dict[str, Callable[[Tensor], Tensor]], clips: Tensor, rounds: int) -> dict[str, float]:
    best = dict.fromkeys(variants, float("inf"))
    for round_ in range(rounds + 1):  # the first warms up
        for name, variant in variants.items():
            start = perf_counter()
            variant(clips)
            if round_:
                best[name] = min(best[name], (perf_counter() - start) / len(clips))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[320, 160])
    options = parser.parse_args()
    variants = build_variants()
    print(f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
          f"native bfloat16: {'yes' if torch.cpu._is_avx512_bf16_supported() else 'no'}\n")
    print("| image size | clips at once | network | s / clip | against plain |\n|---|---|---|---|---|")
    for size in options.sizes:
        for batch in (1, 2):
            clips = torch.rand(batch, 8, size, size, 3).mul(2).sub(1).movedim(-1, 1)
            times = seconds_a_clip(variants, clips, options.rounds)
            for name, seconds in times.items():
                print(f"| {size} | {batch} | {name} | {seconds:.3f} | {times['plain, float32'] / seconds:.2f} x |")


if __name__ == "__main__":
    main()
