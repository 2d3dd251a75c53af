"""One process runs the backbone for all workers, which decode and write: for a GPU, which they then share well.

Frames and maps go through memory that a worker shares with the device process. What goes through the backbone together
is what a worker by itself would put through it, so the store has the same bits.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
from collections import deque
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from math import prod
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stvr import processes
from stvr.extract.maps import Backbone, kept_form, map_shapes, raw_maps, runs_on_gpu, stream_of
from stvr.extract.remote import Line, Reply, Request, cut_maps
from stvr.shared_memory import SharedMemory
from stvr.specs import ClipSpec

STREAMS = 2  # of a GPU: the copies of one worker's clips run beside the network on another's


class DeviceProcess:
    """Runs `backbone` for every worker that has a line to it. clips: most that are asked of it at once; ready: most
    whose maps come back at once.

    gpu: which of the visible ones, or None for where the backbone is. ValueError where it can't be sent to a process.
    """

    def __init__(self, backbone: Backbone, clip: ClipSpec, clips: int, ready: int, gpu: int | None = None) -> None:
        picture, shapes = 3 * clip.image_size**2, map_shapes(backbone, clip)
        self._frames = -(-clips * clip.frames_per_clip * picture // 4096) * 4096
        self._size = self._frames + ready * sum(2 * prod(shape) for shape in shapes.values())
        self._context = multiprocessing.get_context("forkserver")
        self._control, theirs = self._context.Pipe()
        arguments = (pickle.dumps(backbone), clip, theirs, gpu, torch.get_num_threads(), dict(os.environ))
        self.process = self._context.Process(target=_serve, args=arguments, daemon=True)
        self.process.start()
        theirs.close()

    def line(self) -> Line:
        """For a new worker."""
        ours, theirs = self._context.Pipe()
        memory = SharedMemory(self._size)
        with suppress(OSError):  # it has died: the worker says so
            self._control.send((theirs, memory, self._frames))
        theirs.close()
        return Line(ours, memory, self._frames)

    def end(self) -> None:
        self._control.close()
        processes.end(self.process)


class _Client:
    """A worker, as the device process knows it."""

    def __init__(self, line: Line, stream: Any) -> None:
        self.connection, self.stream = line.connection, stream
        self.memory, self.runs = line.memory, dict[int, Any]()
        self.frames, self.maps = self.memory.bytes[: line.frames], self.memory.bytes[line.frames :]
        if stream is not None:
            with suppress(RuntimeError):  # it works without, in twice the time for a copy
                self.memory.lock_pages(self.memory.size)

    def leave(self) -> None:
        if self.memory.locked:
            torch.cuda.synchronize()
            self.memory.unlock_pages()
        self.connection.close()


class _Pending(NamedTuple):
    """What a client waits for. event: of the GPU, when it is there."""

    client: _Client
    reply: Any
    finite: Tensor | None
    event: Any

    def send(self) -> None:
        if self.event is not None:
            self.event.synchronize()
        reply = self.reply if self.finite is None else Reply(self.reply, bool(self.finite))
        with suppress(OSError):  # the worker has died
            self.client.connection.send(reply)


class _Server:
    """Answers requests in the order they come; on a GPU the next is begun before the last is done."""

    def __init__(self, backbone: Backbone, clip: ClipSpec) -> None:
        self.backbone, self.clip = backbone, clip
        several = STREAMS if " by " not in backbone.precision else 1  # graphs of torch.compile keep to one
        self.streams = [torch.cuda.Stream() for _ in range(several)] if runs_on_gpu(backbone) else [None]

    @torch.inference_mode()
    def begin(self, client: _Client, request: Request) -> _Pending:
        for run in request.ended:
            client.runs.pop(run, None)
        frames = client.frames[: prod(request.shape)].view(request.shape)
        with nullcontext() if client.stream is None else torch.cuda.stream(client.stream):
            try:
                maps = kept_form(self._maps(client, frames, request))
            except Exception as error:
                return _Pending(client, processes.portable(error), None, None)
            finite = torch.tensor([True])
            for each in maps.values():
                finite = finite.to(each.device) & each.isfinite().all()
            shapes = {name: tuple(each.shape) for name, each in maps.items()}
            for mine, theirs in zip(maps.values(), cut_maps(client.maps, shapes).values(), strict=True):
                theirs.copy_(mine, non_blocking=True)
            finite = finite.to("cpu", non_blocking=True)
            event = None if client.stream is None else client.stream.record_event()
        return _Pending(client, shapes, finite, event)

    def _maps(self, client: _Client, frames: Tensor, request: Request) -> dict[str, Tensor]:
        if request.run is None:
            return raw_maps(self.backbone, frames)
        if request.run not in client.runs:
            client.runs[request.run] = stream_of(self.backbone, self.clip)
        maps: dict[str, Tensor] = client.runs[request.run].push(frames, request.last)
        return maps


def _serve(
    backbone: bytes, clip: ClipSpec, control: Connection, gpu: int | None, threads: int, environment: Mapping[str, str]
) -> None:
    """The life of the device process: it answers, until whoever started it has closed `control`."""
    processes.begin(environment, threads)
    if gpu is not None:
        choose_gpu(gpu)
    server: _Server | Exception
    try:
        server = _Server(pickle.loads(backbone), clip)
    except Exception as error:
        server = processes.portable(error)
    clients: dict[Any, _Client] = {}  # by their connections
    pending: deque[_Pending] = deque()
    while True:
        ready: list[Any] = wait([control, *clients], 0 if pending else None)
        for connection in ready:
            try:
                message = connection.recv()
            except (EOFError, OSError):
                if connection is control:
                    return
                clients.pop(connection).leave()
                continue
            if connection is control:
                line = Line(*message)
                streams = server.streams if isinstance(server, _Server) else [None]
                clients[line.connection] = _Client(line, streams[len(clients) % len(streams)])
            elif isinstance(server, Exception):
                pending.append(_Pending(clients[connection], server, None, None))
            else:
                pending.append(server.begin(clients[connection], message))
        while pending and (not ready or pending[0].event is None or pending[0].event.query()):
            pending.popleft().send()


def choose_gpu(number: int) -> None:
    """Only the `number`th of the visible GPUs, counted round, is seen by this process. Does not start CUDA."""
    if (count := torch.cuda.device_count()) > 1:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count)))).split(",")
        os.environ["CUDA_VISIBLE_DEVICES"] = visible[number % count]
