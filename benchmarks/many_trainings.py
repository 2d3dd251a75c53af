"""Trainings side by side: several processes, a thread each, on CPU cores or on one GPU; figures as they come."""

from __future__ import annotations

import multiprocessing
import shlex
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import torch

from stvr.processes import end_with_parent

Job = tuple[Any, ...]  # what tells one training from another: its row, its seed and so on


def side_by_side(
    work: Callable[..., Mapping[str, Any]], jobs: Sequence[Job], processes: int
) -> Iterator[tuple[Job, Mapping[str, Any]]]:
    """work(*job) of all jobs, begun in their order; each with what came of it, as soon as it is done.

    work: of a module, for processes of their own import it. A job that fails is told on standard error and left out.
    """
    if processes <= 1:
        torch.set_num_threads(1)
        for job in jobs:
            yield from told(job, lambda job=job: work(*job))  # type: ignore[misc]
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=begin) as pool:
        running = {pool.submit(work, *job): job for job in jobs}
        for done in as_completed(running):
            yield from told(running[done], done.result)


def begin() -> None:
    end_with_parent()
    torch.set_num_threads(1)


def told(job: Job, result: Callable[[], Mapping[str, Any]]) -> Iterator[tuple[Job, Mapping[str, Any]]]:
    try:
        figures = result()
    except Exception:
        print(f"{job} failed:\n{traceback.format_exc()}", file=sys.stderr, flush=True)
        return
    print(f"{time.strftime('%X')} {job}", file=sys.stderr, flush=True)
    yield job, figures


def tell_left_out(jobs: int, done: int) -> None:
    """Exits with status 1 where trainings have failed, and says how many."""
    if done < jobs:
        sys.exit(f"{jobs - done} of {jobs} trainings failed and are left out. Call again to try these alone.")


def command(first: str) -> str:
    """How this was called; what is a path, on whatever machine, by what it is for."""
    said = [each if "/" not in each else Path(each).name if "." in Path(each).name else "FOLDER"
            for each in sys.argv[2:]]  # fmt: skip
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", first, *said])
