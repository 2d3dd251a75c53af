"""One step of training: what the loop repeats, and what is timed. Runs without pydantic."""

from __future__ import annotations

import math
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from stvr.heads import Head
from stvr.heads.promises import checked_losses, faults_of


class StepOptions(Protocol):
    """What a step reads of the loop's options; see `stvr.training.loop.LoopOptions`."""

    @property
    def steps(self) -> int: ...
    @property
    def optimizer(self) -> str: ...
    @property
    def lr(self) -> float: ...
    @property
    def momentum(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def schedule(self) -> str: ...
    @property
    def milestones(self) -> tuple[int, ...]: ...
    @property
    def warmup_steps(self) -> int: ...
    @property
    def clip_norm(self) -> float: ...
    @property
    def precision(self) -> str: ...
    @property
    def seed(self) -> int: ...


class Trainee(nn.Module):
    """What is trained: forward(batch) -> named losses, each a scalar."""

    def forward(self, batch: Any) -> dict[str, Tensor]:
        raise NotImplementedError(f"{type(self).__name__} must define forward().")


class HeadLosses(Trainee):
    """A batch of cached features -> the head's losses."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head

    def forward(self, batch: Any) -> dict[str, Tensor]:
        return losses_of(self.head, batch)


def losses_of(head: Head, batch: Any) -> dict[str, Tensor]:
    """Of a head's batch. PartFault for a head whose losses are not as promised."""
    with faults_of(head, "forward()"):
        outputs = head(batch)
    with faults_of(head, "losses()"):
        return dict(checked_losses(head, head.losses(outputs, batch)))


def take_step(
    trainee: nn.Module, optimizer: torch.optim.Optimizer, batch: Any, options: StepOptions, step: int, device: str
) -> dict[str, Tensor]:
    """One step; every draw it makes depends on (seed, step) and its items alone. Its figures stay on the device.

    Nothing here waits for the device, so that the host is always ahead of it.
    """
    torch.manual_seed(options.seed * 1_000_003 + step)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(options, step) * group.get("lr_share", 1.0)
    with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=options.precision == "bfloat16"):
        losses = trainee(batch)
    total = torch.stack(list(losses.values())).sum()
    optimizer.zero_grad(set_to_none=True)
    total.backward()
    norm = torch.nn.utils.clip_grad_norm_(trainee.parameters(), options.clip_norm)
    optimizer.step()
    return {"total": total.detach(), **{name: loss.detach() for name, loss in losses.items()}, "gradient_norm": norm}


def learning_rate(options: StepOptions, step: int) -> float:
    """Linear warm-up, then by tenths at the milestones or down a cosine to zero."""
    if step < options.warmup_steps:
        return options.lr * (step + 1) / options.warmup_steps
    if options.schedule == "step":
        return options.lr * 0.1 ** sum(step >= milestone for milestone in options.milestones)
    share = (step - options.warmup_steps) / max(1, options.steps - options.warmup_steps)
    return options.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


def build_optimizer(trainee: nn.Module, options: StepOptions) -> torch.optim.Optimizer:
    """Over everything that wants a gradient. A module's `lr_share` scales the rate of the parameters in it."""
    shares: dict[nn.Parameter, float] = {}
    for module in trainee.modules():  # from the outside in: the innermost word counts
        for parameter in module.parameters():
            shares[parameter] = getattr(module, "lr_share", shares.get(parameter, 1.0))
    wanted = [parameter for parameter in trainee.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in wanted if shares[parameter] == share], "lr_share": share}
        for share in dict.fromkeys(shares[parameter] for parameter in wanted)
    ]
    if options.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=options.lr, momentum=options.momentum, weight_decay=options.weight_decay)
    return torch.optim.AdamW(groups, lr=options.lr, weight_decay=options.weight_decay)
