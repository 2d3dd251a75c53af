"""Trained a little on made patterns, STEP finds who shows which, and each of its steps."""

from __future__ import annotations

import pytest
import torch
from patterned import ACTOR, OTHER, SPEC, iou, video

from stvr.config import fill
from stvr.heads.step_assembly import SMALL, StepOptions, build_step_head
from stvr.jobs.train import HeadLosses
from stvr.structures import Features, PeopleBatch
from stvr.training.loop import LoopOptions, build_optimizer, train_step

SMALLER = {**SMALL, "width": 16, "reduced": 8, "hidden": 16, "bottleneck": 8, "classes": ("1: a", "2: b", "3: c")}
LOOP = LoopOptions(steps=60, optimizer="adamw", lr=5e-3, warmup_steps=0, schedule="step", milestones=(1000, 2000))


def batch_of(step: int, size: int = 6) -> PeopleBatch:
    """Windows of nine clips; on the left and on the right one of three patterns each, drawn by the step."""
    draw = torch.Generator().manual_seed(step)
    shown = torch.randint(3, (size, 2), generator=draw)
    maps = [video(9, one + 1, other + 1, seed=size * step + slot).maps["Mixed_4c"].clamp_min(0)
            for slot, (one, other) in enumerate(shown.tolist())]  # fmt: skip
    boxes = torch.tensor([ACTOR, OTHER]).repeat(size, 1, 1)
    known = torch.ones(size, 2, 5, dtype=torch.bool)
    return PeopleBatch({"Mixed_4c": torch.stack(maps)}, boxes, torch.eye(3)[shown], known[..., 0],
                       boxes[:, :, None].repeat(1, 1, 5, 1), known)  # fmt: skip


def trained() -> torch.nn.Module:
    torch.manual_seed(0)
    head = build_step_head(fill(StepOptions, SMALLER), SPEC.only(["Mixed_4c"]))
    head.calibrate(Features({"Mixed_4c": batch_of(999).window.flatten(0, 1)}))
    trainee = HeadLosses(head).train()
    optimizer = build_optimizer(trainee, LOOP)
    for step in range(LOOP.steps):
        train_step(trainee, optimizer, batch_of(step), LOOP, step, "cpu")
    return head.eval()


@pytest.mark.slow
def test_it_finds_who_is_there_and_what_each_of_them_shows():
    head, unseen = trained(), batch_of(5000)
    with torch.inference_mode():
        outputs = head(unseen)
    assert (outputs.given.argmax(-1) == unseen.classes.argmax(-1)).all()  # at true boxes; a third would be chance
    shares = []
    for found in outputs.found:  # step by step: is the best box of what somebody shows on them, and how near?
        best = []
        for clip, classes in zip(found, unseen.classes.argmax(-1).tolist(), strict=True):
            for label, box, elsewhere in zip(classes, (ACTOR, OTHER), (OTHER, ACTOR), strict=True):
                if classes[0] != classes[1]:
                    first = clip.boxes[clip.labels == label][0].tolist()
                    assert iou(first, box) > iou(first, elsewhere)
                    best.append(iou(first, box))
        shares.append(sum(best) / len(best))
    grid = (head.progression.first / 160).tolist()
    assert shares[-1] > shares[0]
    assert shares[-1] > max(iou(box, actor) for box in grid for actor in (ACTOR, OTHER))
