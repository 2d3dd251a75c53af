"""Times a training step with queries of similar length batched together, and with mixed lengths and masks.

Run: python benchmarks/bench_batching.py [--rounds 5]. Features are random; queries are as long as in AVA's published
test pairs (76 % last one second). Every round runs the same items both ways, in turn.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch

from stvr.heads import build_head
from stvr.jobs.train import train_options
from stvr.store import FeatureSpec
from stvr.structures import Batch, ClipSpec, MapSpec, Pair, Span, Tubelet
from stvr.tasks.pairs.dataset import Item, collate
from stvr.tasks.pairs.draws import Draw, Draws
from stvr.training.loop import LoopOptions, train_step
from stvr.training.one_step import HeadLosses, build_optimizer

CLIPS_A_SECOND = 3
SECONDS = {1: 0.76, 2: 0.12, 4: 0.06, 6: 0.03, 10: 0.03}  # share of the queries; the first one as published
SIDES = {"small": (10, 8), "paper": (20, 1)}  # cells a side of a map, items a batch


def made_pairs(count: int, seed: int = 0) -> list[Pair]:
    lengths = np.random.default_rng(seed).choice(list(SECONDS), count, p=list(SECONDS.values())) * CLIPS_A_SECOND
    box = torch.tensor([0.2, 0.1, 0.6, 0.9])
    return [
        Pair(Tubelet(Span("query", 0, int(length)), box.repeat(int(length), 1)), Span("reference", 0, 6),
             (Tubelet(Span("reference", 0, 6), box.repeat(6, 1)),), str(number % 8))
        for number, length in enumerate(lengths)
    ]  # fmt: skip


def read(draw: Draw, side: int) -> Item:
    """Random features for a drawn pair."""
    random = torch.Generator().manual_seed(draw.seed)
    query, pair = draw.pair.query, draw.pair
    maps = [{"Mixed_4c": torch.rand(length, side, side, 1024, generator=random)}
            for length in (len(pair.reference), len(query.span))]  # fmt: skip
    boxes = pair.targets[0].boxes[:, None]
    return Item(*maps, query.boxes, boxes, torch.full(boxes.shape[:2], 2), int(pair.label))


def seconds_a_step(trainee: HeadLosses, batches: list[Batch], options: LoopOptions) -> float:
    optimizer = build_optimizer(trainee, options)
    start = time.perf_counter()
    for step, batch in enumerate(batches):
        train_step(trainee, optimizer, batch, options, step, "cpu")
    return (time.perf_counter() - start) / len(batches)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--preset", choices=list(SIDES), default="small")
    chosen = parser.parse_args()
    side, size = SIDES[chosen.preset]
    size = max(size, 4)
    options = LoopOptions(lr=1e-5)
    spec = FeatureSpec("i3d", "made", "00", (MapSpec("Mixed_4c", 16, 2, 512),), ClipSpec(image_size=16 * side))
    trainee = HeadLosses(build_head(train_options(chosen.preset).head, spec).train())
    batches, padding = {}, {}
    for how in ("mixed", "by_length"):
        draws = Draws(made_pairs(64 * size), batch_size=size, window=6, max_query=30, seed=0, batching=how)
        drawn = [draws[step] for step in range(chosen.steps)]
        batches[how] = [collate([read(draw, side) for draw in each]) for each in drawn]
        every = [draws[step] for step in range(64)]
        lengths = [[len(draw.pair.query.span) for draw in each] for each in every]
        padding[how] = 1 - sum(map(sum, lengths)) / sum(size * max(each) for each in lengths)
    seconds_a_step(trainee, batches["mixed"][:1], options)  # warms up
    measured: dict[str, list[float]] = {how: [] for how in batches}
    for _ in range(chosen.rounds):
        for how, steps in batches.items():
            measured[how].append(seconds_a_step(trainee, steps, options))
    median = {how: statistics.median(values) for how, values in measured.items()}
    print(f"{chosen.preset}: maps of {side} x {side} x 1024, {size} items a batch, {torch.get_num_threads()} threads")
    for how, values in measured.items():
        print(f"  {how:9s} {median[how]:.3f} s a step (lowest {min(values):.3f}), "
              f"{100 * padding[how]:.0f} % of the query clips are padding over an epoch")
    print(f"  by_length / mixed: {median['by_length'] / median['mixed']:.2f}")


if __name__ == "__main__":
    main()
