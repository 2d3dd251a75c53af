"""Processes that read batches into shared rooms."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from stvr import processes
from stvr.training.room import Room


class Readers:
    """`count` processes, each with a copy of `batches`, (step, empty) -> batch. Not torch's DataLoader.

    That one brings every batch into new shared memory, which costs a copy and a page fault for every 4 KiB. Only the
    pool of the standard library is needed: a step's number goes there, and where the tensors lie in the room comes
    back.
    """

    def __init__(self, batches: Callable[..., Any], rooms: Sequence[Room], count: int) -> None:
        try:
            content = pickle.dumps(batches)  # tensors by value: multiprocessing would keep a file open for each
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ValueError(f"what is trained on cannot be sent to other processes ({error}). "
                             "Leave --readers out.") from None
        context = multiprocessing.get_context("forkserver")  # clean processes, which need not import torch each
        context.set_forkserver_preload([__name__])
        self.rooms, self.ahead = rooms, count + 1
        self.pool = ProcessPoolExecutor(count, context, _begin, (content, rooms, dict(os.environ)))

    def begin(self, step: int, room: int) -> Future[bytes]:
        with _told_of_death():
            return self.pool.submit(_read, step, room)

    def take(self, begun: Future[bytes], room: int) -> Any:
        with _told_of_death():
            return self.rooms[room].unpack(begun.result())

    def end(self) -> None:
        self.pool.shutdown(cancel_futures=True)


@contextmanager
def _told_of_death() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool:
        raise ChildProcessError("a process that reads batches has died; if the machine is short of memory, give fewer "
                                "--readers. Go on from the last saved step with --resume.") from None


class _Reader:
    """What a reader keeps. `batches` is pickled until the first step, whose future tells of what is wrong with it."""

    content = b""
    batches: Callable[..., Any] | None = None
    rooms: Sequence[Room] = ()


def _begin(content: bytes, rooms: Sequence[Room], environment: Mapping[str, str]) -> None:
    """environment: of the process that reads are for; that of the fork server may be older."""
    processes.begin(environment, threads=1)
    processes.end_with_parent()
    _Reader.content, _Reader.rooms = content, rooms


def _read(step: int, room: int) -> bytes:
    if _Reader.batches is None:
        _Reader.batches = pickle.loads(_Reader.content)
    own = _Reader.rooms[room]
    own.used = 0
    return own.pack(_Reader.batches(step, own.empty))
