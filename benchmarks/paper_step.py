"""A training step of the matching head at the paper's sizes, as `stvr train` takes it, but without pydantic."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stvr.heads.attention import Attention
from stvr.heads.matching import MatchingHead
from stvr.heads.proposals import ProposalNetwork
from stvr.heads.tail import Tail
from stvr.propagation import Recurrent
from stvr.propagation.aligners import SplineAligner
from stvr.propagation.cell import Cell
from stvr.propagation.gates import BottleneckGates
from stvr.propagation.propagation import Propagation
from stvr.structures import Batch
from stvr.training.one_step import HeadLosses, build_optimizer, take_step

CHANNELS, STRIDE = 1024, 16
TRUE_BOXES, QUERY_CLIPS = 4, 6


@dataclass(frozen=True, slots=True)
class PaperLoop:
    """The defaults of stvr.training.loop.LoopOptions, but a rate that moves random weights nowhere."""

    steps: int = 30_000
    optimizer: str = "sgd"
    lr: float = 1e-6
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: str = "step"
    milestones: tuple[int, ...] = (10_000, 20_000)
    warmup_steps: int = 0
    clip_norm: float = 10.0
    precision: str = "float32"
    seed: int = 0


def paper_head(channels: int = CHANNELS, propagation: Propagation | None = None) -> MatchingHead:
    """What stvr.heads.assembly builds of the preset "paper"; a test holds the two together."""
    return MatchingHead(
        adapter=nn.Identity(),
        propagation=propagation or Recurrent(Cell(SplineAligner(channels), BottleneckGates(channels))),
        proposals=ProposalNetwork(channels, 512, 32, stride=STRIDE),
        attention=Attention(channels, 128),
        tail=Tail(2 * channels, 512, 3, "frozen_batch"),
        tail_channels=2 * channels,
    )


def made_batch(
    items: int, clips: int, channels: int, side: int, device: torch.device, *,
    query_clips: int = QUERY_CLIPS, true_boxes: int = TRUE_BOXES,
) -> Batch:
    def maps(count: int) -> dict[str, Tensor]:
        return {"Mixed_4c": torch.randn(items, count, side, side, channels, device=device).relu()}

    low = torch.rand(items, clips, true_boxes, 2) / 2
    batch = Batch(
        references=maps(clips), reference_mask=torch.ones(items, clips, dtype=torch.bool), queries=maps(query_clips),
        query_boxes=torch.tensor([0.2, 0.1, 0.6, 0.9]).repeat(items, query_clips, 1),
        query_mask=torch.ones(items, query_clips, dtype=torch.bool),
        target_boxes=torch.cat([low, low + 0.1 + 0.4 * torch.rand_like(low)], -1),
        target_labels=torch.randint(0, 3, (items, clips, true_boxes)), asked=torch.arange(items) % 4,
        seeds=torch.arange(items),
    )  # fmt: skip
    return batch.to(device)


def steps_of(
    propagations: dict[str, Propagation], channels: int, batch: Batch, device: torch.device
) -> dict[str, Callable[[], dict[str, Tensor]]]:
    """A step of the whole head with each propagation; weights and draws are the same. Each returns its figures."""
    options = PaperLoop(precision="bfloat16" if device.type == "cuda" else "float32")
    torch.manual_seed(0)
    first = paper_head(channels)
    found = {}
    for name, propagation in propagations.items():
        head = deepcopy(first)
        head.propagation = propagation
        trainee = HeadLosses(head).to(device).train()
        optimizer = build_optimizer(trainee, options)

        def step(trainee: HeadLosses = trainee, optimizer: torch.optim.Optimizer = optimizer) -> dict[str, Tensor]:
            return take_step(trainee, optimizer, batch, options, 0, str(device))

        found[name] = step
    return found
