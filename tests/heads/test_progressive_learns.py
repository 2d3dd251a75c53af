"""Trained a little on made patterns, the progressive head finds who shows one that it never saw."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from patterned import ACTOR, OTHER, SPEC, iou, video

from stvr.config import fill
from stvr.heads.progressive_assembly import PRESETS, ProgressiveOptions, build_progressive
from stvr.structures import Batch, Features, Query
from stvr.tasks.pairs.dataset import Item, collate
from stvr.training.loop import LoopOptions, train_step
from stvr.training.one_step import HeadLosses, build_optimizer

SMALLER = {**PRESETS["small"]["head"], "width": 16, "reduced": 8, "hidden": 16, "bottleneck": 8, "values": 16}
LOOP = LoopOptions(steps=25, optimizer="adamw", lr=5e-3, warmup_steps=5, schedule="step", milestones=(1000, 2000))


def maps(actor: int, other: int, clips: int, seed: int) -> dict[str, torch.Tensor]:
    return {"Mixed_4c": video(clips, actor, other, seed=seed).maps["Mixed_4c"].clamp_min(0)}  # as features are


def asked_about(wanted: int, another: int, third: int, seed: int, first: bool) -> Item:
    """In the query `wanted` stands left, `third` right; in the reference it is left or not, with `another`."""
    shown, labels = ((wanted, another), [2, 1]) if first else ((another, wanted), [1, 2])
    boxes = torch.tensor([ACTOR, OTHER]).repeat(5, 1, 1)
    return Item(maps(*shown, 5, seed), maps(wanted, third, 2, seed + 1000), torch.tensor(ACTOR).repeat(2, 1), boxes,
                torch.tensor(labels).repeat(5, 1), wanted)  # fmt: skip


def batch_of(step: int) -> Batch:
    draw = torch.Generator().manual_seed(step)
    patterns = [(torch.randperm(10, generator=draw)[:3] + 1).tolist() for _ in range(6)]
    sides = torch.rand(6, generator=draw) < 0.5
    return collate([asked_about(*each, seed=6 * step + slot, first=bool(sides[slot]))
                    for slot, each in enumerate(patterns)])  # fmt: skip


@pytest.mark.slow
def test_it_finds_who_shows_a_pattern_that_it_was_not_trained_on():
    torch.manual_seed(0)
    head = build_progressive(fill(ProgressiveOptions, SMALLER), SPEC.only(["Mixed_4c"]))
    head.calibrate(Features({"Mixed_4c": batch_of(999).reference.flatten(0, 1)}))
    trainee = HeadLosses(head).train()
    optimizer = build_optimizer(trainee, LOOP)
    for step in range(LOOP.steps):
        train_step(trainee, optimizer, batch_of(step), LOOP, step, "cpu")
    head.eval()
    right, shares = [], []
    for patterns, first in product(((21, 22, 23), (24, 25, 26), (27, 28, 29)), (True, False)):
        item = asked_about(*patterns, seed=5000, first=first)
        there, elsewhere = (ACTOR, OTHER) if first else (OTHER, ACTOR)
        with torch.inference_mode():
            query = Query((), head.pool(Features(item.queries), item.query_boxes))
            for clip in head.ask(head.look(Features(item.references)), query):
                best = clip.boxes[0].tolist()
                right.append(iou(best, there) > iou(best, elsewhere))
                shares.append(iou(best, there))
    assert sum(right) >= 27  # of 30 clips; a coin would be right in half of them, and in 27 once in 240,000 times
    grid = (head.progression.first / 160).tolist()
    nearest_of_the_grid = max(iou(box, actor) for box in grid for actor in (ACTOR, OTHER))
    assert sum(shares) / len(shares) > nearest_of_the_grid  # step 0's best, were somebody to choose it
