"""A backbone that another process runs, as a worker of stage one has it, and the memory through which it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from multiprocessing.connection import Connection
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from stvr.backbones.context import Reach
from stvr.extract.maps import Backbone, MapShapes, map_shapes, processor_of, stream_of
from stvr.shared_memory import SharedMemory
from stvr.specs import ClipSpec, MapSpec


class Line(NamedTuple):
    """From a worker to the device process. frames: bytes at the beginning of the memory that are for frames."""

    connection: Connection
    memory: SharedMemory
    frames: int


class Request(NamedTuple):
    """Clips of `shape` lie in the memory. run: of a video whose clips see each other, or None; last: its last clips.

    ended: runs that will not go on.
    """

    shape: tuple[int, ...]
    run: int | None
    last: bool
    ended: tuple[int, ...]


class Reply(NamedTuple):
    """The shapes of the maps that lie in the memory, (N, row, column, time, channel) float16, by endpoint, in order."""

    shapes: dict[str, tuple[int, ...]]
    finite: bool


@dataclass(slots=True, eq=False)
class Remote:
    """A backbone as a worker has it: what a store must say of it, and a line to the process that runs it."""

    name: str
    weights: str
    weights_digest: str
    endpoint: str
    precision: str
    device: torch.device
    processor: str
    specs: tuple[MapSpec, ...]
    shapes: MapShapes
    reach: Reach | None
    line: Line | None = None
    checks_finite: ClassVar[bool] = True
    _runs: int = 0
    _ended: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, backbone: Backbone, clip: ClipSpec) -> Remote:
        device = torch.device(getattr(backbone, "device", "cpu"))
        reach = stream_of(backbone, clip).reach if clip.context == "video" else None
        return cls(
            backbone.name, backbone.weights, backbone.weights_digest, backbone.endpoint, backbone.precision, device,
            processor_of(backbone), backbone.map_specs(clip), map_shapes(backbone, clip), reach,
        )  # fmt: skip

    def map_specs(self, clip: ClipSpec) -> tuple[MapSpec, ...]:
        return self.specs

    def __call__(self, frames: Tensor) -> Tensor:
        (features,) = self.maps(frames)
        return features

    def maps(self, frames: Tensor) -> tuple[Tensor, ...]:
        """As of `stvr.backbones.Backbone`, in float16. ValueError where one is not finite."""
        return tuple(self.ask(frames).values())

    def stream(self, clip: ClipSpec) -> RemoteStream:
        assert self.reach is not None
        self._runs += 1
        return RemoteStream(self, self._runs, self.reach)

    def end(self, run: int) -> None:
        """The device process is told with the next question, because this may be called at any moment."""
        self._ended.append(run)

    @torch.inference_mode()
    def ask(self, frames: Tensor, run: int | None = None, last: bool = False) -> dict[str, Tensor]:
        """Maps (N, time, row, column, channel) by endpoint. RuntimeError when the device process has died."""
        assert self.line is not None
        memory = self.line.memory.bytes
        memory[: frames.numel()].copy_(frames.reshape(-1))
        ended, self._ended = tuple(self._ended), []
        try:
            self.line.connection.send(Request(tuple(frames.shape), run, last, ended))
            reply = self.line.connection.recv()
        except (EOFError, OSError):
            raise RuntimeError(f"the process that ran the backbone on {self.device} has died. Its own error is above; "
                               "the same command goes on where this one stopped.") from None
        if isinstance(reply, Exception):
            raise reply
        if not reply.finite:
            raise ValueError(f"{self.name} gave features that are not finite in float16.")
        maps = cut_maps(memory[self.line.frames :], reply.shapes)
        return {name: each.clone().movedim(3, 1) for name, each in maps.items()}


class RemoteStream:
    """As `stvr.backbones.context.ContextStream`, of a `Remote`."""

    def __init__(self, backbone: Remote, number: int, reach: Reach) -> None:
        self.backbone, self.number, self.reach = backbone, number, reach

    def push(self, frames: Tensor, last: bool = False) -> dict[str, Tensor]:
        return self.backbone.ask(frames, self.number, last)

    def __del__(self) -> None:
        self.backbone.end(self.number)


def cut_maps(memory: Tensor, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Bytes -> the float16 maps that lie there one after another."""
    values, maps, start = memory[: memory.numel() // 2 * 2].view(torch.float16), {}, 0
    for name, shape in shapes.items():
        maps[name] = values[start : start + prod(shape)].view(shape)
        start += prod(shape)
    return maps
