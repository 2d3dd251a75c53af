"""Several processes that train one model (torchrun): which one this is, and figures over all of them.

In a single process every function returns what it is given.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor


@contextmanager
def joined(device: str) -> Iterator[str]:
    """Joins the processes that torchrun started, and yields the device of this one: gloo on CPUs, NCCL on GPUs."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield device
        return
    if device.startswith("cuda"):
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def together() -> bool:
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """Which of the processes this is; process 0 writes the files."""
    return dist.get_rank() if together() else 0


def world_size() -> int:
    return dist.get_world_size() if together() else 1


def wait() -> None:
    """Waits until all processes are here."""
    if together():
        dist.barrier()


def mean(values: Tensor) -> Tensor:
    """The mean over processes, (...) float; no gradient.

    When each process divides its loss by the mean count instead of its own count, the averaged gradients are those of
    one process that sees the whole batch.
    """
    if not together():
        return values
    total = values.detach().clone().float()
    dist.all_reduce(total)
    return total / world_size()


def gather_rows(rows: Tensor) -> Tensor:
    """The rows (N, ...) of all processes in the order of their ranks; N is the same in all.

    The gradient flows to this process's own rows, times the number of processes: averaged over them, as
    DistributedDataParallel does, it is the gradient of a loss that every process computes over all rows.
    """
    if not together():
        return rows
    own = rows.detach().contiguous()
    parts = [torch.empty_like(own) for _ in range(world_size())]
    dist.all_gather(parts, own)
    if rows.requires_grad:
        parts[rank()] = rows * world_size() - rows.detach() * (world_size() - 1)
    return torch.cat(parts)
