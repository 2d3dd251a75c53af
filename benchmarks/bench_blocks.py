"""Every temporal block as a classifier of the action world's motions: some seeds each, beside the trivial answer.

Run: python benchmarks/bench_blocks.py FOLDER [--blocks gru,lstm] [--seeds 3] [--out FILE.md]
Videos with one actor each, features of I3D's Mixed_3c with analytic weights; the small preset of the head `classifier`.
Every finished training is kept in FOLDER. Seconds are of the processor, operations of the block on eight moments.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from by_seed import Figures, check_kept, kept, shown, step_seconds, train_all
from called import Parser, above_zero, some_of, told_in_one_line
from torch.utils.flop_counter import FlopCounterMode

from stvr.backbones import load_backbone
from stvr.extract.job import extract
from stvr.jobs.evaluate import evaluate
from stvr.jobs.train import train, train_options
from stvr.machine import processor
from stvr.structures import ClipSpec
from stvr.temporal import TEMPORAL, build_temporal
from stvr.world.synthetic import write_world

WORLD = {"num_train_videos": 150, "num_test_videos": 60, "image_size": 80, "seconds": (4, 5), "actors": (1, 1)}
SIZE, ENDPOINT, WIDTH, SEGMENTS, CELLS = 80, "Mixed_3c", 256, 8, 10


def run_block(block: str, folder: Path, store: Path, labels: Path, seed: int, steps: int | None) -> dict[str, Any]:
    options = train_options("small", flags=flags_of(block, seed, steps))
    begun = time.process_time()
    report = train(store, labels, folder / "run", options, resume=True)
    spent = time.process_time() - begun
    results = evaluate(folder / "run", store, labels)
    return {
        "top_1": 100 * results["top_k"]["1"], "top_5": 100 * results["top_k"]["5"],
        "mean_class": 100 * results["mean_class_accuracy"], "usual": 100 * next(iter(results["probes"].values())),
        "step_seconds": spent / report.steps_now if report.steps_now else None, "classes": len(results["per_class"]),
        "rows": results["evaluated"],
    }  # fmt: skip


def flags_of(block: str, seed: int, steps: int | None) -> dict[str, Any]:
    return {"seed": seed, "head": {"name": "classifier", "block": block}, "steps": steps}


def size_of(block: str, classes: int) -> tuple[int, float]:
    """Parameters of a block with its classifier, and its millions of operations for one stretch."""
    built = build_temporal(block, WIDTH, SEGMENTS, {}).eval()
    on_maps = TEMPORAL[block].on_maps
    shape = (1, SEGMENTS, CELLS, CELLS, WIDTH) if on_maps else (1, SEGMENTS, WIDTH)
    with torch.no_grad(), torch.backends.mkldnn.flags(enabled=False), FlopCounterMode(display=False) as counter:
        built(torch.zeros(shape))  # without oneDNN, whose LSTM is one operator that is not counted
    count = sum(each.numel() for part in (built, built.classifier(classes)) for each in part.parameters())
    return count, counter.get_total_flops() / 1e6


def table(found: Mapping[str, Sequence[Figures]]) -> list[str]:
    lines = ["| block | top-1 | top-5 | mean class | most frequent class | parameters | MFLOP | core s a step |",
             "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for block, runs in found.items():
        parameters, operations = size_of(block, runs[0]["classes"])
        cells = [shown([run[name] for run in runs]) for name in ("top_1", "top_5", "mean_class", "usual")]
        cells += [f"{parameters:,}", f"{operations:.1f}", step_seconds(runs, 3)]
        lines.append(f"| `{block}` | {' | '.join(cells)} |")
    return lines


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--blocks", type=some_of(TEMPORAL), default=",".join(TEMPORAL))
    parser.add_argument("--seeds", type=above_zero, default=3)
    parser.add_argument("--steps", type=above_zero)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    world, store = chosen.folder / "world", chosen.folder / "features.zarr"
    folders = {(block, seed): chosen.folder / f"{block}_{seed}" for block in chosen.blocks
               for seed in range(chosen.seeds)}  # fmt: skip
    how = {"steps": train_options("small", flags=flags_of(chosen.blocks[0], 0, chosen.steps)).steps}
    with told_in_one_line():
        check_kept(dict.fromkeys(folders.values(), how))
        write_world(world, size="small", seed=0, **WORLD)
    videos = sorted((world / "videos").glob("*.mp4"))
    extract(videos, store, load_backbone(weights="analytic", endpoint=ENDPOINT), ClipSpec(image_size=SIZE))

    def run(block: str, seed: int) -> Figures:
        folder = folders[block, seed]
        return kept(folder, how, lambda: run_block(block, folder, store, world / "tracks.csv", seed, chosen.steps))

    def text(found: Mapping[str, Sequence[Figures]]) -> str:
        rows = next(iter(found.values()))[0]["rows"]
        return "\n".join([
            "# Temporal blocks on the action world", "",
            f"`python benchmarks/bench_blocks.py FOLDER --seeds {chosen.seeds}`: {processor()}, torch "
            f"{torch.__version__}, one thread. Percent of {rows}, of videos that did not train; mean and standard "
            "deviation over the seeds.", "", *table(found),
        ])  # fmt: skip

    train_all(chosen.blocks, chosen.seeds, run, text, chosen.out)


if __name__ == "__main__":
    main()
