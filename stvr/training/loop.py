"""The training loop that `train` and `finetune` share: steps, schedule, average of the weights, log, resume."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any, Literal

import torch
from pydantic import Field
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from stvr import parallel
from stvr.backbones.runtimes import check_bfloat16
from stvr.config import Options
from stvr.training.feed import Batches, feed
from stvr.training.one_step import Trainee, build_optimizer, learning_rate, take_step
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
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # bfloat16 is autocast: weights, losses stay float32
    deterministic: bool = False  # the same bits again on a GPU, too, which costs time there
    compiled: bool = False  # what of the model can be compiled; a slow first step
    ema: float | None = Field(default=None, gt=0, lt=1)  # decay of the running average of weights that is saved
    seed: int = Field(default=0, ge=0)
    log_every: int = Field(default=10, ge=1)
    save_every: int = Field(default=200, ge=1)
    tensorboard: bool = False
    readers: int = Field(default=0, ge=0)  # processes that read batches; 0 is a thread of this one


def run_loop(
    trainee: Trainee,
    batches: Batches,
    options: LoopOptions,
    run: Run,
    write: Callable[[nn.Module, int], None],
    device: str,
    report: Tell | None = None,
) -> tuple[int, dict[str, float]]:
    """Steps from where `run` left off to the last; returns how many were done now, and the last one's figures.

    batches(k, empty) is this process's share of batch k. write(trainee, step) leaves what a user wants of the run,
    before the state: it is given the averaged weights where `ema` asks for them.
    """
    if options.precision == "bfloat16":
        check_bfloat16(device)
    optimizer = build_optimizer(trainee, options)
    averaged = AveragedModel(trainee, multi_avg_fn=get_ema_multi_avg_fn(options.ema)) if options.ema else None
    modules: dict[str, nn.Module] = {"model": trainee, **({"averaged": averaged} if averaged else {})}
    first = run.restore(modules, optimizer)
    stepped = spread(trainee, device)
    losses: dict[str, float] = {}
    with closing(feed(batches, first, options.steps, device, options.readers)) as fed:
        for step, batch in enumerate(fed, first):
            losses = train_step(stepped, optimizer, batch, options, step, device)
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
    if broken and step == 0 and not math.isfinite(figures["total"]):
        raise ValueError(f"step 0 is not finite: {', '.join(broken)}. No weight has been changed yet, so look at the "
                         "features and at the head's losses.")
    if broken:
        raise ValueError(f"step {step} is no longer finite: {', '.join(broken)}. Begin anew with a smaller --lr than "
                         f"{options.lr} and another --out; what was saved before is whole.")
    return {**figures, "lr": learning_rate(options, step)}


def spread(trainee: Trainee, device: str) -> nn.Module:
    """The same over all processes, where there are several."""
    if not parallel.together():
        return trainee
    return DistributedDataParallel(trainee, device_ids=[device] if device.startswith("cuda") else None)
