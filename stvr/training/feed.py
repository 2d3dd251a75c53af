"""Batches on the device ahead of need: read by a thread, or by processes of their own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Any, Protocol

import torch

from stvr.training.readers import Readers
from stvr.training.room import Room

Batches = Callable[..., Any]  # (step, empty) -> this process's share of a batch; see `stvr.tasks.Examples.batch`
ON_CPU, ON_CUDA = 1, 2  # batches whose room is in use: one is trained on, and the next one may be being copied


class Moves(Protocol):
    """All that is known of a batch."""

    def to(self, device: str, /, *, non_blocking: bool = False) -> Any: ...


class Reads(Protocol):
    """Who reads. begin: batch `step` into a room; take: waits for it."""

    ahead: int  # batches that are read while none of them is needed yet

    def begin(self, step: int, room: int) -> Future[Any]: ...
    def take(self, begun: Future[Any], room: int) -> Moves: ...
    def end(self) -> None: ...


def feed(batches: Batches, first: int, stop: int, device: str, readers: int = 0) -> Generator[Any, None, None]:
    """Batches first..stop on the device, in order, the same whatever `readers` is: processes that read; 0 is a thread.

    Each is whole until the next is asked for. ChildProcessError when a reader dies. However it ends, by an error or
    because it is closed, no process is left.
    """
    in_use = ON_CUDA if device.startswith("cuda") else ON_CPU
    rooms = [Room() for _ in range(in_use + (readers + 1 if readers else 1))]
    reads: Reads = Readers(batches, rooms, readers) if readers else Thread(batches, rooms)
    try:
        with closing(read_ahead(reads, first, stop, deque(range(len(rooms))), in_use)) as read:
            if in_use == ON_CUDA:
                yield from copied_ahead(((rooms[number], batch) for number, batch in read), device)
            else:
                for _, batch in read:
                    yield batch.to(device)
    finally:
        reads.end()
        for room in rooms:
            room.close()


def read_ahead(
    reads: Reads, first: int, stop: int, idle: deque[int], in_use: int
) -> Generator[tuple[int, Moves], None, None]:
    """Each batch with the number of its room, which is read into again when the batch `in_use` later is asked for."""
    waiting: deque[tuple[int, Future[Any]]] = deque()
    given: deque[int] = deque()
    for step in range(first, stop + reads.ahead):
        if step < stop:
            waiting.append((number := idle.popleft(), reads.begin(step, number)))
        if step < first + reads.ahead:
            continue
        number, begun = waiting.popleft()
        yield number, reads.take(begun, number)
        given.append(number)
        if len(given) == in_use:
            idle.append(given.popleft())


def copied_ahead(batches: Iterator[tuple[Room, Moves]], device: str) -> Iterator[Any]:
    """On CUDA: a stream of its own copies each batch while the one before it is trained on."""
    stream, before = torch.cuda.Stream(device), None
    for room, batch in batches:
        room.pin()
        stream.wait_stream(torch.cuda.current_stream(device))  # what lay where this batch comes to lie is done with
        with torch.cuda.stream(stream):
            moved = batch.to(device, non_blocking=True)
        following = moved, stream.record_event()
        if before is not None:
            yield from arrived(*before, device)
        before = following
    if before is not None:
        yield from arrived(*before, device)


def arrived(batch: Any, copied: torch.cuda.Event, device: str) -> Iterator[Any]:
    torch.cuda.current_stream(device).wait_event(copied)
    yield batch
    copied.synchronize()  # long done: its room is read into next


class Thread:
    """Reads one batch ahead."""

    ahead = 1

    def __init__(self, batches: Batches, rooms: Sequence[Room]) -> None:
        self.batches, self.rooms, self.pool = batches, rooms, ThreadPoolExecutor(1)

    def begin(self, step: int, room: int) -> Future[Any]:
        self.rooms[room].used = 0
        return self.pool.submit(self.batches, step, self.rooms[room].empty)

    def take(self, begun: Future[Any], room: int) -> Moves:
        batch: Moves = begun.result()
        return batch

    def end(self) -> None:
        self.pool.shutdown(cancel_futures=True)
