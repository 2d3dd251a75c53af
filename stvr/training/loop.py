"""The training loop that `train` and `finetune` share: steps, schedule, average of the weights, log, resume."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from stvr import parallel
from stvr.backbones.runtimes import check_bfloat16
from stvr.config import Options
from stvr.training.runs import Run

Tell = Callable[[int, int, Mapping[str, float]], None]  # (steps done, steps in all, figures of the last one)


class LoopOptions(Options):
    """How weights are trained; the defaults are the released program's."""

    steps: int = Field(default=30_000, ge=1)
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(default=0.03, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    schedule: Literal["step", "cosine"] = "step"
    milestones: tuple[int, ...] = (10_000, 20_000)  # a tenth each time; the second one is the program's alone
    warmup_steps: int = Field(default=0, ge=0)
    clip_norm: float = Field(default=10.0, gt=0)
    precision: Literal["float32", "bfloat16"] = "float32"  # bfloat16 is autocast: weights and losses stay float32
    compiled: bool = False  # what of the model can be compiled; a slow first step
    ema: float | None = Field(default=None, gt=0, lt=1)  # decay of the running average of weights that is saved
    seed: int = Field(default=0, ge=0)
    log_every: int = Field(default=10, ge=1)
    save_every: int = Field(default=200, ge=1)
    tensorboard: bool = False


class Moves(Protocol):
    """All that the loop knows of a batch."""

    def to(self, device: str, /) -> Any: ...


class Trainee(nn.Module):
    """What is trained: forward(batch) -> named losses, each a scalar."""

    def forward(self, batch: Any) -> dict[str, Tensor]:
        raise NotImplementedError(f"{type(self).__name__} must define forward().")


def run_loop(
    trainee: Trainee,
    batches: Callable[[int], Moves],
    options: LoopOptions,
    run: Run,
    write: Callable[[nn.Module, int], None],
    device: str,
    report: Tell | None = None,
) -> tuple[int, dict[str, float]]:
    """Steps from where `run` left off to the last; returns how many were done now, and the last one's figures.

    batches(k) is this process's share of batch k. write(trainee, step) leaves what a user wants of the run, before the
    state: it is given the averaged weights where `ema` asks for them.
    """
    if options.precision == "bfloat16":
        check_bfloat16(device)
    optimizer = build_optimizer(trainee, options)
    averaged = AveragedModel(trainee, multi_avg_fn=get_ema_multi_avg_fn(options.ema)) if options.ema else None
    modules: dict[str, nn.Module] = {"model": trainee, **({"averaged": averaged} if averaged else {})}
    first = run.restore(modules, optimizer)
    stepped = spread(trainee, device)
    losses: dict[str, float] = {}
    for step, batch in enumerate(prefetch(batches, first, options.steps), first):
        losses = train_step(stepped, optimizer, batch.to(device), options, step, device)
        if averaged:
            averaged.update_parameters(trainee)
        done = step + 1
        run.log(done, losses, last=done == options.steps)
        if report:
            report(done, options.steps, losses)
        if (done % options.save_every == 0 or done == options.steps) and parallel.rank() == 0:
            write(averaged.module if averaged else trainee, done)
            run.save(done, modules, optimizer)
    parallel.wait()
    return options.steps - first, losses


def train_step(
    trainee: nn.Module, optimizer: torch.optim.Optimizer, batch: Any, options: LoopOptions, step: int, device: str
) -> dict[str, float]:
    """`take_step`, and its figures. ValueError when they are not finite."""
    taken = take_step(trainee, optimizer, batch, options, step, device)
    values = parallel.mean(torch.stack([value.float() for value in taken.values()])).tolist()  # waits for the device
    figures = dict(zip(taken, values, strict=True))
    broken = [f"{name} {value}" for name, value in figures.items() if not math.isfinite(value)]
    if broken:
        raise ValueError(f"step {step} is no longer finite: {', '.join(broken)}. Begin anew with a smaller --lr than "
                         f"{options.lr} and another --out; what was saved before is whole.")
    return {**figures, "lr": learning_rate(options, step)}


def take_step(
    trainee: nn.Module, optimizer: torch.optim.Optimizer, batch: Any, options: LoopOptions, step: int, device: str
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


def learning_rate(options: LoopOptions, step: int) -> float:
    """Linear warm-up, then by tenths at the milestones or down a cosine to zero."""
    if step < options.warmup_steps:
        return options.lr * (step + 1) / options.warmup_steps
    if options.schedule == "step":
        return options.lr * 0.1 ** sum(step >= milestone for milestone in options.milestones)
    share = (step - options.warmup_steps) / max(1, options.steps - options.warmup_steps)
    return options.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


def build_optimizer(trainee: nn.Module, options: LoopOptions) -> torch.optim.Optimizer:
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


def spread(trainee: Trainee, device: str) -> nn.Module:
    """The same over all processes, where there are several."""
    if not parallel.together():
        return trainee
    return DistributedDataParallel(trainee, device_ids=[device] if device.startswith("cuda") else None)


def prefetch(read: Callable[[int], Moves], first: int, stop: int) -> Iterator[Moves]:
    """Batches first..stop, the next one being read while one is used."""
    with ThreadPoolExecutor(1) as pool:
        waiting: list[Future[Moves]] = [pool.submit(read, first)] if first < stop else []
        for step in range(first, stop):
            batch = waiting.pop().result()
            if step + 1 < stop:
                waiting.append(pool.submit(read, step + 1))
            yield batch
