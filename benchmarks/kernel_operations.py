"""The hand-written operations: a table of what is checked against its plain twin, then timed beside a port.

An operation is one row of OPERATIONS; what it should cost is a row of the tables in predictions.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import cycle
from typing import Any

import torch
from cases import Case, Race, no_grad
from measuring import Bench, Variant
from predictions import map_bytes, operation_work
from rivals import gates_port, sparse_image_warp
from torch import Tensor

from stvr.kernels import lstm_gates, spline_flow, spline_warp
from stvr.kernels.lstm_gates import reference as gates_reference
from stvr.kernels.warp import reference as warp_reference
from stvr.kernels.warp import warp_all
from stvr.propagation.aligners import control_points

CELLS = (20, 20)
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 2e-2}
ROTATED = 300 << 20  # bytes of inputs used in turn: far more than any cache on a chip
NAMES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}


@dataclass(frozen=True, slots=True)
class Operation:
    """inputs: (bench, batch, dtype, channels) -> tensors. ours, port, twin: of these tensors -> tensors.

    moved: maps (B, C, H, W) that must be read or written once, forward, and forward and backward. port_captures:
    whether a CUDA graph can hold the port, which one that waits for the device cannot be in. others: more of our own
    ways, by name.
    """

    inputs: Callable[[Bench, int, torch.dtype, int], list[Tensor]]
    ours: Callable[..., Any]
    port: Callable[..., Any]
    twin: Callable[..., Any]
    moved: tuple[float, float]
    port_captures: bool = True
    others: Mapping[str, Callable[..., Any]] = field(default_factory=dict)


def warp_inputs(bench: Bench, batch: int, dtype: torch.dtype, channels: int) -> list[Tensor]:
    maps = [bench.maps(batch, channels, *CELLS, dtype=dtype) for _ in range(2)]
    return [*maps, torch.randn(batch, 9, 2, device=bench.device)]


def warp_ours(hidden: Tensor, memory: Tensor, moves: Tensor) -> list[Tensor]:
    return spline_warp([hidden, memory], points_on(hidden.device), moves)


def warp_in_two(hidden: Tensor, memory: Tensor, moves: Tensor) -> list[Tensor]:
    return warp_all([hidden, memory], spline_flow(points_on(hidden.device), moves, *CELLS))


def warp_port(hidden: Tensor, memory: Tensor, moves: Tensor) -> list[Tensor]:
    points = points_on(moves.device).to(moves)
    return [sparse_image_warp(each.permute(0, 2, 3, 1), points, moves).permute(0, 3, 1, 2) for each in (hidden, memory)]


def warp_twin(hidden: Tensor, memory: Tensor, moves: Tensor) -> list[Tensor]:
    flow = warp_reference.spline_flow(points_on(moves.device).to(moves), moves, *CELLS)
    return [warp_reference.dense_warp(each, flow) for each in (hidden, memory)]


@cache
def points_on(device: torch.device) -> Tensor:
    """Made once: a CUDA graph can copy nothing from the host."""
    return control_points(*CELLS).to(device)


def gates_inputs(bench: Bench, batch: int, dtype: torch.dtype, channels: int) -> list[Tensor]:
    maps = [bench.maps(batch, many * channels, *CELLS, dtype=dtype) for many in (4, 1, 1)]
    affine = [torch.randn(many * channels, device=bench.device) * 0.2 + shift
              for many, shift in ((4, 1), (4, 0), (1, 1), (1, 0))]  # fmt: skip
    return maps + affine


def gates_twin(*inputs: Tensor) -> tuple[Tensor, Tensor]:
    return gates_reference.lstm_gates(*inputs, 1.0, 1e-12)  # type: ignore[call-arg, arg-type]


OPERATIONS = {
    "spline warp of two maps": Operation(
        warp_inputs, warp_ours, warp_port, warp_twin, (4, 10), port_captures=False,
        others={"ours, two launches": warp_in_two},
    ),
    "gates and norms": Operation(gates_inputs, lstm_gates, gates_port, gates_twin, (8, 21)),
}


def operation_cases(bench: Bench) -> Iterator[Case]:
    channels = 64 if bench.small else 1024
    for dtype in (torch.bfloat16, torch.float32) if bench.cuda else (torch.float32,):
        for batch in (8, 1):
            for name in OPERATIONS:
                yield OperationCase(name, batch, dtype, channels)


@dataclass(frozen=True)
class OperationCase(Case):
    name: str
    batch: int
    dtype: torch.dtype
    channels: int

    @property
    def size(self) -> str:
        return f"{self.batch} x {self.channels} x {CELLS[0]} x {CELLS[1]}, {NAMES[self.dtype]}"

    @property
    def tolerance(self) -> float:
        return TOLERANCE[self.dtype]

    def made(self, bench: Bench) -> list[Tensor]:
        return OPERATIONS[self.name].inputs(bench, self.batch, self.dtype, self.channels)

    def functions(self, bench: Bench) -> dict[str, Callable[..., Any]]:
        operation = OPERATIONS[self.name]
        found = {"port, eager": operation.port, "ours": operation.ours}
        if bench.cuda:  # on a CPU there are no launches
            found |= operation.others
        if bench.cuda and self.batch > 1 and self.dtype == torch.bfloat16:  # compiling takes its time: once for each
            found["port, torch.compile"] = torch.compile(operation.port, dynamic=False)
        return found

    def check(self, bench: Bench) -> dict[str, float]:
        twin = OPERATIONS[self.name].twin
        return {variant: relative_error(function, twin, self.made(bench), poison=variant.startswith("ours"))
                for variant, function in self.functions(bench).items()}  # fmt: skip

    def races(self, bench: Bench) -> Iterator[Race]:
        operation = OPERATIONS[self.name]
        unit = map_bytes(self.batch, self.channels, self.dtype.itemsize)
        sets = max(2, min(16, ROTATED // (8 * unit)))
        forward, whole = {}, {}
        for variant, function in self.functions(bench).items():
            capture = variant.startswith("ours") or (operation.port_captures and variant == "port, eager")
            kept = [self.made(bench) for _ in range(sets)]
            inputs, trained = cycle(kept), cycle([[part.detach().requires_grad_() for part in each] for each in kept])
            forward[variant] = Variant(
                no_grad(lambda function=function, inputs=inputs: function(*next(inputs))), capture
            )
            whole[variant] = Variant(
                lambda function=function, trained=trained: there_and_back(function, next(trained)), capture
            )
        for backward, race in ((False, forward), (True, whole)):
            work = operation_work(self.name, self.batch, self.channels, self.dtype.itemsize, backward=backward)
            part = f"{self.name}, {'forward and backward' if backward else 'forward'}"
            yield Race(part, race, work, operation.moved[backward] * unit, self.dtype == torch.float32)


def there_and_back(function: Callable[..., Any], inputs: list[Tensor]) -> tuple[Tensor, ...]:
    outputs = function(*inputs)
    return torch.autograd.grad(outputs, inputs, [torch.ones_like(each) for each in outputs])


def relative_error(
    function: Callable[..., Any], twin: Callable[..., Any], inputs: list[Tensor], *, poison: bool
) -> float:
    """The worst error of all outputs and gradients; with `poison`, memory that a kernel leaves unwritten is NaN."""
    torch.use_deterministic_algorithms(poison, warn_only=True)  # fills fresh memory with NaN
    worst = torch.zeros(())
    answers = []
    for each, kind in ((function, None), (twin, torch.float64)):
        leaves = [part.detach().to(kind or part.dtype).requires_grad_() for part in inputs]
        outputs = each(*leaves)
        answers.append([*outputs, *torch.autograd.grad(outputs, leaves, [torch.ones_like(out) for out in outputs])])
    torch.use_deterministic_algorithms(False)
    for one, two in zip(*answers, strict=True):
        worst = torch.maximum(worst, ((one.double() - two).norm() / two.norm().clamp_min(1e-9)).cpu())
    return float(worst)
