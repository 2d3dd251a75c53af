"""Threads that take a clip each, where a network's operations are too small to be shared by all threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier, Lock
from typing import TypeVar

import torch

T = TypeVar("T")
U = TypeVar("U")
STARTING = Lock()


def by_hands(work: Callable[[T], U], items: Sequence[T]) -> list[U]:
    """work(item) of every item, in order, as many at once as torch has threads, each of them on one.

    A single item is worked on here, by all threads. Gradients are recorded, or not, as in the caller.
    """
    count = torch.get_num_threads()
    if count < 2 or len(items) < 2:
        return [work(item) for item in items]
    inferring, grads = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def in_mode(item: T) -> U:
        with torch.inference_mode(inferring), torch.set_grad_enabled(grads):
            return work(item)

    with STARTING:
        pool = hands(count)
    return list(pool.map(in_mode, items))


@cache
def hands(count: int) -> ThreadPoolExecutor:
    """Threads in which torch has one thread. They stay, with the memory that they work in."""
    pool, all_there = ThreadPoolExecutor(count, "stvr-hand"), Barrier(count)

    def prepare(_: int) -> None:
        torch.get_num_threads()  # asked for the first time in a thread, torch sets the number for it
        torch.set_num_threads(1)
        all_there.wait()

    list(pool.map(prepare, range(count)))
    torch.set_num_threads(count)  # threads that begin later take what was set last in any
    return pool
