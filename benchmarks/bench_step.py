"""A training step of the matching head, all clips at once, against the same clip by clip, as it was.

Run: python benchmarks/bench_step.py [--preset small] [--rounds 7] [--threads 1] [--out FILE.md]. In turn:
the losses of the proposal network with their gradient, the proposals, the detections, and a whole step; features are
random. Seconds are of the processor. The losses of both are compared first, with samples taken in order. Last a whole
step against that of commit 64f422e (the first release), run from its own files in a process beside this one, in turns.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from former import STEP, former
from paper_step import made_batch
from plain_step import clip_by_clip

from stvr.heads import build_head
from stvr.heads.matching import MatchingHead
from stvr.heads.targets import pixel_truth
from stvr.jobs.train import TrainOptions, train_options
from stvr.machine import processor
from stvr.specs import ClipSpec, FeatureSpec, MapSpec
from stvr.structures import Batch
from stvr.training.loop import train_step
from stvr.training.one_step import HeadLosses, build_optimizer

SIDES = {"small": (10, 12, 4), "paper": (20, 8, 6)}  # cells a side of a map, items, clips of each
CHANNELS, QUERY_CLIPS, TRUE_BOXES = 1024, 3, 3
FORMER = "64f422e"
WAYS = {"clip by clip": clip_by_clip, "all at once": nullcontext}


def race(run: Callable[[], object], rounds: int) -> dict[str, float]:
    """Median seconds of the processor; the first round warms up."""
    spent: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(rounds + 1):
        for way, inside in WAYS.items():
            with inside():
                begun = time.process_time()
                run()
                spent[way] += [time.process_time() - begun] if number else []
    return {way: statistics.median(seconds) for way, seconds in spent.items()}


def parts_of(trainee: HeadLosses, options: TrainOptions, batch: Batch, side: int) -> dict[str, Callable[[], object]]:
    """What is timed. The first three take what the networks say as given."""
    head = trainee.head
    assert isinstance(head, MatchingHead)
    optimizer, valid = build_optimizer(trainee, options), batch.reference_mask.flatten()
    size = (16 * side, 16 * side)
    truth, outputs = pixel_truth(batch, size), head(batch)
    found = outputs.proposals
    codes, logits = (each.detach().requires_grad_() for each in (found.codes, found.logits))
    leaves = replace(found, codes=codes, logits=logits)

    def proposal_losses() -> None:
        torch.stack(list(head.proposals.losses(leaves, truth, valid, "random", batch.seeds).values())).sum().backward()

    return {
        "losses of the proposal network, and back": proposal_losses,
        "proposals": lambda: head.proposals.propose(codes.detach(), logits.detach(), found.anchors, size),
        "detections": lambda: head.answers(outputs),
        "training step": lambda: train_step(trainee, optimizer, batch, options, 0, "cpu"),
    }


def against_former(
    run: Callable[[], object], batch: Batch, preset: str, threads: int, rounds: int
) -> tuple[float, float]:
    """Median seconds of a step as it was and as it is; the first round warms up."""
    was, now = [], []
    with tempfile.TemporaryDirectory() as name:
        folder, only = Path(name), batch.reference.shape[-1]
        tensors = {"reference": batch.reference, "query": batch.query}
        tensors |= {each: getattr(batch, each) for each in ("reference_mask", "query_boxes", "query_mask",
                                                            "target_boxes", "target_labels", "asked", "seeds")}
        torch.save(tensors, folder / "batch.pt")
        with former(FORMER, folder, STEP) as program:
            program.tell(f"{folder / 'batch.pt'} {preset} {only} {threads}")
            for number in range(rounds + 1):
                (seconds,) = program.ask("step")
                begun = time.process_time()
                run()
                if number:
                    now.append(time.process_time() - begun)
                    was.append(seconds)
    return statistics.median(was), statistics.median(now)


@torch.no_grad()
def difference(trainee: HeadLosses, batch: Batch) -> float:
    """Of the losses of both ways, the largest, relative; samples are taken in order."""
    losses = []
    for inside in WAYS.values():
        with inside():
            losses.append(trainee.head.losses(trainee.head(batch, "first"), batch))
    plain, ours = losses
    return max(abs(float(plain[name] / ours[name]) - 1) for name in plain)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", choices=list(SIDES), default="small")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(0)
    side, items, clips = SIDES[chosen.preset]
    maps = (MapSpec("Mixed_4c", 16, 2, CHANNELS // 2),)
    spec = FeatureSpec("i3d", "made", "00", maps, ClipSpec(image_size=16 * side))
    options = train_options(chosen.preset, flags={"lr": 1e-6})
    batch = made_batch(items, clips, CHANNELS, side, torch.device("cpu"), query_clips=QUERY_CLIPS,
                       true_boxes=TRUE_BOXES)  # fmt: skip
    trainee = HeadLosses(build_head(options.head, spec).train())
    apart = difference(trainee, batch)
    lines = ["# A training step, clip by clip and all at once", "",
             f"`python benchmarks/bench_step.py --preset {chosen.preset} --rounds {chosen.rounds} --threads "
             f"{chosen.threads}`, torch {torch.__version__}, {processor()}: {items} items",
             f"of {clips} clips, maps of {side} x {side} x {CHANNELS}. Median milliseconds of the processor.", "",
             "| | clip by clip | all at once | |", "|---|---|---|---|"]  # fmt: skip
    parts = parts_of(trainee, options, batch, side)
    for name, run in parts.items():
        plain, ours = (1e3 * seconds for seconds in race(run, chosen.rounds).values())
        lines.append(f"| {name} | {plain:.1f} | {ours:.1f} | {plain / ours:.2f} x |")
    step = parts["training step"]
    was, now = (1e3 * each for each in against_former(step, batch, chosen.preset, chosen.threads, chosen.rounds))
    lines += ["", f"A whole step at commit {FORMER}: {was:.1f}, now {now:.1f}: **{was / now:.2f} x**."]
    lines.append(f"\nLosses with samples taken in order differ by {apart:.1e}.")
    print("\n".join(lines))
    if chosen.out:
        chosen.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
