"""Spread videos over processes of this machine: one that dies is replaced, and its video goes on in another.

On CPUs each runs the backbone. On a GPU they decode and write, and a process for each GPU runs it for them.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from stvr import processes
from stvr.extract.device_process import DeviceProcess
from stvr.extract.extractor import Recipe, digest_of
from stvr.extract.in_context import Grid
from stvr.extract.maps import Backbone, runs_on_gpu, stream_of
from stvr.extract.pace import Progress
from stvr.extract.remote import Line, Remote
from stvr.extract.todo import Outcome, Todo
from stvr.video.copies import local
from stvr.video.source import Source, sweep

CRASHES = {signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT}
MAX_CRASHES = 2  # of the decoder on one video; then it goes into quarantine
MAX_DEATHS = 5  # in a row from other causes, such as a lack of memory, without a single batch in between


def spread(recipe: Recipe, todo: Todo, num_workers: int) -> Generator[tuple[str, Progress | Outcome], None, None]:
    """How far each video is, and last what became of it, from `num_workers` processes that share torch's threads.

    What a worker raises is raised here. When it ends, however it ends, no worker is left.
    """
    pool, deaths = _Pool(recipe, min(num_workers, len(todo))), Counter[str]()
    try:
        while todo or pool.busy():
            for worker in pool.workers:
                if worker.video is None and (next_video := todo.take()):
                    worker.begin(next_video, todo.paths[next_video])
            for worker in pool.ready(todo):
                video, event = worker.video, worker.receive()
                if isinstance(event, BaseException):
                    raise event
                if event is None:  # it has died
                    status = pool.replace(worker)
                    if video is None:
                        continue
                    deaths[video] += 1
                    reason = _verdict(status, deaths[video], todo.paths[video])
                    if not reason:
                        todo.again(video)
                        continue
                    if -status in CRASHES:
                        with local(todo.paths[video]) as (path, _):
                            recipe.open_store().quarantine(video, reason, digest_of(path))
                    event = Outcome(failed=reason)
                elif isinstance(event, Progress):
                    deaths[video or ""] = 0
                elif event.hung:
                    pool.replace(worker)
                yield video or "", event
    finally:
        pool.end()


def _verdict(status: int, deaths: int, path: Source) -> str:
    """Why a video is given up after its worker has died; nothing while it may be tried again."""
    if status >= 0:
        raise RuntimeError(f"a worker exited with status {status} while working on {path}. Its own error is above.")
    if deaths < (MAX_CRASHES if -status in CRASHES else MAX_DEATHS):
        return ""
    return f"{path} kills its worker: {deaths} of them died of {signal.Signals(-status).name} while working on it."


class _Pool:
    """The workers; `end` leaves none."""

    def __init__(self, recipe: Recipe, num_workers: int) -> None:
        self._devices: list[DeviceProcess] = []
        try:
            if is_shared(recipe.backbone):
                self._devices = device_processes(recipe, num_workers)
                recipe = replace(recipe, backbone=Remote.of(recipe.backbone, recipe.open_store().spec.clip))
            self._recipe = pickle.dumps(recipe)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ValueError(f"the backbone cannot be sent to other processes ({error}). Use one worker.") from error
        self._threads = max(torch.get_num_threads() // max(num_workers, 1), 1)
        self.workers = [self._start(number) for number in range(num_workers)]

    def busy(self) -> bool:
        return any(worker.video for worker in self.workers)

    def ready(self, todo: Todo) -> list[_Worker]:
        """The workers with something to report; waits for one, but no longer than until there is more to hand out."""
        idle = any(worker.video is None for worker in self.workers)
        connections = wait([worker.connection for worker in self.workers], todo.pause() if todo and idle else None)
        return [worker for worker in self.workers if worker.connection in connections]

    def replace(self, worker: _Worker) -> int:
        """Ends a worker and starts a new one in its place; the exit status of the old one, below 0 for a signal."""
        status = worker.end()
        self.workers[self.workers.index(worker)] = self._start(worker.number)
        return status

    def end(self) -> None:
        for worker in self.workers:
            worker.process.terminate()
        for worker in self.workers:
            worker.end()
        for device in self._devices:
            device.end()

    def _start(self, number: int) -> _Worker:
        line = self._devices[number % len(self._devices)].line() if self._devices else None
        return _Worker(self._recipe, number, self._threads, line)


def is_shared(backbone: Backbone) -> bool:
    """Whether one process runs the backbone for all workers: a GPU would hold it, and its context, once for each."""
    return runs_on_gpu(backbone)


def check_workers(count: int) -> None:
    if count < 1:
        raise ValueError(f"{count} workers extract nothing. Give 1 or more.")


def usual_workers(device: str, engine: str = "local") -> int:
    """One on a CPU, whose cores the network uses; for a GPU one a core, because decoding is what it waits for."""
    return len(os.sched_getaffinity(0)) if device.startswith("cuda") and engine == "local" else 1


def device_processes(recipe: Recipe, num_workers: int) -> list[DeviceProcess]:
    """One for each visible GPU, or one where a GPU is named."""
    clip = recipe.open_store().spec.clip
    clips = ready = recipe.batch_size
    if clip.context == "video":
        grid = Grid.of(clip, stream_of(recipe.backbone, clip).reach)
        clips, ready = grid.size, grid.size * (grid.warms + 2) + grid.after
    spreads = str(getattr(recipe.backbone, "device", "cpu")) == "cuda"
    gpus = range(min(torch.cuda.device_count(), num_workers)) if spreads else [None]
    return [DeviceProcess(recipe.backbone, clip, clips, ready, gpu) for gpu in gpus]


class _Worker:
    """A process, and the video it is working on."""

    def __init__(self, recipe: bytes, number: int, threads: int, line: Line | None) -> None:
        context = multiprocessing.get_context("forkserver")  # clean processes, which need not import torch each
        context.set_forkserver_preload([__name__])
        self.number = number
        self.video: str | None = None
        self.connection, theirs = context.Pipe()
        arguments = (recipe, theirs, line, threads, dict(os.environ))
        self.process = context.Process(target=_work, args=arguments, daemon=True)
        self.process.start()
        theirs.close()

    def begin(self, video: str, path: Source) -> None:
        self.video = video
        with suppress(BrokenPipeError):  # it has died: `receive` says so
            self.connection.send((video, path))

    def receive(self) -> Any:
        """Progress, Outcome, or an exception of its own; None when it is dead."""
        try:
            event = self.connection.recv()
        except (EOFError, ConnectionResetError):
            return None
        if isinstance(event, Outcome):
            self.video = None
        return event

    def end(self) -> int:
        self.connection.close()
        status = processes.end(self.process)
        sweep()  # it may not have had the time to
        return status


def _work(
    recipe: bytes, connection: Connection, line: Line | None, threads: int, environment: Mapping[str, str]
) -> None:
    """The life of a worker: it receives a video and its path, and sends events, until the other end is closed.

    environment: of the process that started it. That of the fork server is as old as the first worker, and the keys of
    a bucket may have been set since.
    """
    processes.begin(environment, threads)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the other end is closed
        try:
            made: Recipe = pickle.loads(recipe)
            if isinstance(made.backbone, Remote):
                made.backbone.line = line
            extractor = made.build()
            while True:
                for event in extractor(*connection.recv()):
                    connection.send(event)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise
        except Exception as error:
            connection.send(processes.portable(error))
            connection.recv()  # waits to be ended
