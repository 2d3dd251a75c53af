"""One process runs the backbone for all workers, which decode and write: for a GPU, which they then share well.

Frames and maps go through memory that a worker shares with the device process. What goes through the backbone together
is what a worker by itself would put through it, so the store has the same bits.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from collections import deque
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from math import prod
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stvr.extract.maps import Backbone, kept_form, maps_by_endpoint, raw_maps, stream_of
from stvr.extract.portable import portable
from stvr.extract.remote import Line, Reply, Request, SharedMemory, cut_maps
from stvr.specs import ClipSpec

STREAMS = 2  # of a GPU: the copies of one worker's clips run beside the network on another's


class DeviceProcess:
    """Runs `backbone` for every worker that has a line to it. clips: most that are asked of it at once; ready: most
    whose maps come back at once.

    gpu: which of the visible ones, or None for where the backbone is. ValueError where it can't be sent to a process.
    """

    def __init__(self, backbone: Backbone, clip: ClipSpec, clips: int, ready: int, gpu: int | None = None) -> None:
        picture = 3 * clip.image_size**2
        black = torch.zeros(2, clip.frames_per_clip, clip.image_size, clip.image_size, 3, dtype=torch.uint8)
        maps = maps_by_endpoint(backbone, black)
        self._frames = -(-clips * clip.frames_per_clip * picture // 4096) * 4096
        self._size = self._frames + ready * sum(2 * prod(each.shape[1:]) for each in maps.values())
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
        self.process.join(0.2)
        for stop in (self.process.terminate, self.process.kill):
            if self.process.is_alive():
                stop()
                self.process.join(5)


class _Client:
    """A worker, as the device process knows it."""

    def __init__(self, line: Line, stream: Any) -> None:
        self.connection, self.stream = line.connection, stream
        memory = line.memory.bytes()
        self.frames, self.maps = memory[: line.frames], memory[line.frames :]
        self.runs: dict[int, Any] = {}
        self._registered = memory.data_ptr() if stream is not None and _page_locked(memory) else None

    def leave(self) -> None:
        if self._registered is not None:
            torch.cuda.synchronize()
            torch.cuda.cudart().cudaHostUnregister(self._registered)
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
        on_gpu = str(getattr(backbone, "device", "cpu")).startswith("cuda")
        several = STREAMS if " by " not in backbone.precision else 1  # graphs of torch.compile keep to one
        self.streams = [torch.cuda.Stream() for _ in range(several)] if on_gpu else [None]

    @torch.inference_mode()
    def begin(self, client: _Client, request: Request) -> _Pending:
        for run in request.ended:
            client.runs.pop(run, None)
        frames = client.frames[: prod(request.shape)].view(request.shape)
        with nullcontext() if client.stream is None else torch.cuda.stream(client.stream):
            try:
                maps = kept_form(self._maps(client, frames, request))
            except Exception as error:
                return _Pending(client, portable(error), None, None)
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
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started us
    torch.set_num_threads(threads)
    if gpu is not None:
        choose_gpu(gpu)
    server: _Server | Exception
    try:
        server = _Server(pickle.loads(backbone), clip)
    except Exception as error:
        server = portable(error)
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


def _page_locked(memory: Tensor) -> bool:
    """Whether copies to the GPU need no copy in between, which halves their time."""
    return int(torch.cuda.cudart().cudaHostRegister(memory.data_ptr(), memory.numel(), 0)) == 0
