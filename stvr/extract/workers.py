"""Spread videos over processes of this machine: one that dies is replaced, and its video goes on in another."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from stvr.extract.extractor import Recipe, digest_of
from stvr.extract.pace import Progress
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
        try:
            self._recipe = pickle.dumps(recipe)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ValueError(f"the backbone cannot be sent to other processes ({error}). Use one worker.") from error
        self._threads = max(torch.get_num_threads() // max(num_workers, 1), 1)
        self._spreads_gpus = str(getattr(recipe.backbone, "device", "cpu")) == "cuda"  # not where one is named
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

    def _start(self, number: int) -> _Worker:
        return _Worker(self._recipe, number, self._threads, self._spreads_gpus)


class _Worker:
    """A process, and the video it is working on."""

    def __init__(self, recipe: bytes, number: int, threads: int, spreads_gpus: bool) -> None:
        context = multiprocessing.get_context("forkserver")  # clean processes, which need not import torch each
        context.set_forkserver_preload([__name__])
        self.number = number
        self.video: str | None = None
        self.connection, theirs = context.Pipe()
        arguments = (recipe, theirs, number if spreads_gpus else None, threads, dict(os.environ))
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
        self.process.join(0.2)
        for stop in (self.process.terminate, self.process.kill):
            if self.process.is_alive():
                stop()
                self.process.join(5)
        sweep()  # it may not have had the time to
        return self.process.exitcode or 0


def _work(
    recipe: bytes, connection: Connection, gpu: int | None, threads: int, environment: Mapping[str, str]
) -> None:
    """The life of a worker: it receives a video and its path, and sends events, until the other end is closed.

    environment: of the process that started it. That of the fork server is as old as the first worker, and the keys of
    a bucket may have been set since.
    """
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started us
    torch.set_num_threads(threads)
    if gpu is not None and (count := torch.cuda.device_count()) > 1:  # counting does not start CUDA
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count)))).split(",")
        os.environ["CUDA_VISIBLE_DEVICES"] = visible[gpu % count]
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the other end is closed
        try:
            extractor = pickle.loads(recipe).build()
            while True:
                for event in extractor(*connection.recv()):
                    connection.send(event)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise
        except Exception as error:
            connection.send(_portable(error))
            connection.recv()  # waits to be ended


def _portable(error: Exception) -> Exception:
    """The error itself where it can be sent, else one that says the same."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
