"""What the kernels serve: the recurrent propagation, a training step, and I3D as `stvr extract` runs it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from cases import Case, Race, no_grad
from kernel_operations import CELLS, NAMES, TOLERANCE
from measuring import Bench, Variant
from predictions import i3d_work, recurrent_work, step_work
from rivals import PortedCell
from torch import Tensor, nn

from stvr.backbones import RUNTIMES
from stvr.backbones.fold import fold
from stvr.backbones.i3d import I3D, scale
from stvr.backbones.inflated import FoldedI3D
from stvr.propagation import Recurrent
from stvr.propagation.aligners import SplineAligner
from stvr.propagation.cell import Cell
from stvr.propagation.gates import BottleneckGates

COMPILED_CLIPS = 16  # the batch at which I3D is compiled: every size takes its time


def warp_lstm_cell(channels: int) -> Cell:
    torch.manual_seed(0)
    return Cell(SplineAligner(channels), BottleneckGates(channels))


def recurrent_cases(bench: Bench) -> Iterator[Case]:
    channels, clips = (64, 2) if bench.small else (1024, 6)
    for dtype in (torch.bfloat16, torch.float32) if bench.cuda else (torch.float32,):
        for batch in (8, 1):
            for length in (1, clips):
                yield RecurrentCase(batch, length, channels, dtype)


@dataclass(frozen=True)
class RecurrentCase(Case):
    """The authors' cell ported, ours, ours in a CUDA graph, ours compiled: errors are against the port in float64."""

    batch: int
    length: int
    channels: int
    dtype: torch.dtype

    @property
    def name(self) -> str:  # type: ignore[override]
        return "recurrent step" if self.length == 1 else f"recurrent loop, {self.length} clips"

    @property
    def size(self) -> str:  # type: ignore[override]
        return f"{self.batch} x {self.channels} x {CELLS[0]} x {CELLS[1]}, {NAMES[self.dtype]}"

    @property
    def tolerance(self) -> float:  # type: ignore[override]
        return 3 * TOLERANCE[self.dtype]  # rounding of a clip goes into the next

    def networks(self, bench: Bench) -> dict[str, Recurrent]:
        cell = warp_lstm_cell(self.channels).to(bench.device, self.dtype)
        found = {"port, eager": Recurrent(PortedCell(cell)), "ours, eager": Recurrent(cell)}
        if bench.cuda:
            found["ours, CUDA graph"] = Recurrent(cell)
            if self.batch > 1 and self.length > 1 and self.dtype == torch.bfloat16:
                found["ours, compiled"] = Recurrent(cell, compiled=True)
        return found

    def features(self, bench: Bench) -> Tensor:
        whole = bench.maps(self.batch * self.length, self.channels, *CELLS, dtype=self.dtype)
        return whole.permute(0, 2, 3, 1).unflatten(0, (self.batch, self.length))

    def check(self, bench: Bench) -> dict[str, float]:
        features = self.features(bench)
        cell = warp_lstm_cell(self.channels).to(bench.device, self.dtype).double()
        with torch.no_grad():
            exact = Recurrent(PortedCell(cell))(features.double())
            answers = {name: network(features) for name, network in self.networks(bench).items()}
        return {name: float((answer.double() - exact).norm() / exact.norm()) for name, answer in answers.items()}

    def races(self, bench: Bench) -> Iterator[Race]:
        features = self.features(bench)
        trained, networks = features.clone().requires_grad_(), self.networks(bench)
        runs = {
            "forward": {name: no_grad(lambda net=net: net(features)) for name, net in networks.items()},
            "forward and backward": {
                name: (lambda net=net: gradients(net, trained)) for name, net in networks.items()
            },
        }  # fmt: skip
        for part, race in runs.items():
            work = recurrent_work(self.batch, self.channels, self.dtype.itemsize, self.length,
                                  backward=part != "forward")  # fmt: skip
            variants = {name: Variant(run, name == "ours, CUDA graph") for name, run in race.items()}
            yield Race(f"{self.name}, {part}", variants, work, wide=self.dtype == torch.float32)


def gradients(network: nn.Module, features: Tensor) -> tuple[Tensor, ...]:
    """Towards features and every weight."""
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    return torch.autograd.grad(network(features).sum(), [features, *weights])


def step_cases(bench: Bench) -> Iterator[Case]:
    """Needs torchvision, as the matching head does; without it the error says so in the table."""
    importlib.import_module("torchvision")
    items, clips, channels = (8, 6, 1024) if bench.cuda else (1, 2, 1024)
    yield StepCase(items, clips, 64 if bench.small else channels, 8 if bench.small else CELLS[0])


@dataclass(frozen=True)
class StepCase(Case):
    """The error is the largest of losses and gradient norm, against the step with the port."""

    items: int
    clips: int
    channels: int
    side: int
    name: str = "training step"
    tolerance: float = 5e-2

    @property
    def size(self) -> str:  # type: ignore[override]
        return f"{self.items} x {self.clips} clips, {self.channels} channels"

    def steps(self, bench: Bench) -> dict[str, Callable[[], dict[str, Tensor]]]:
        paper_step = importlib.import_module("paper_step")
        cell = warp_lstm_cell(self.channels)
        propagations: dict[str, Any] = {
            "port, eager": Recurrent(PortedCell(deepcopy(cell))), "ours, eager": Recurrent(deepcopy(cell)),
        }  # fmt: skip
        if bench.cuda:
            propagations["ours, compiled"] = Recurrent(deepcopy(cell), compiled=True)
        batch = paper_step.made_batch(self.items, self.clips, self.channels, self.side, bench.device)
        found: dict[str, Callable[[], dict[str, Tensor]]] = paper_step.steps_of(
            propagations, self.channels, batch, bench.device
        )
        return found

    def check(self, bench: Bench) -> dict[str, float]:
        figures = {name: torch.stack([value.float() for value in step().values()])
                   for name, step in self.steps(bench).items()}  # fmt: skip
        exact = figures["port, eager"]
        return {name: float((each / exact - 1).abs().max()) for name, each in figures.items()}

    def races(self, bench: Bench) -> Iterator[Race]:
        variants = {name: Variant(step) for name, step in self.steps(bench).items()}
        yield Race("training step", variants, step_work(self.items, self.clips, self.channels))


def i3d_cases(bench: Bench) -> Iterator[Case]:
    side = 64 if bench.small else 320
    for clips in (COMPILED_CLIPS, 8, 32) if bench.cuda else (2,):
        yield ExtractCase(clips, side)


@dataclass(frozen=True)
class ExtractCase(Case):
    """Frames uint8 on the device to Mixed_4c, by what `stvr extract` runs, and by the network as published."""

    clips: int
    side: int
    name: str = "I3D to Mixed_4c"
    tolerance: float = 2e-2

    @property
    def size(self) -> str:  # type: ignore[override]
        return f"{self.clips} clips of 8 x {self.side} x {self.side}"

    def networks(self, bench: Bench) -> dict[str, nn.Module]:
        torch.manual_seed(0)
        model = I3D("Mixed_4c").eval().to(bench.device)
        found: dict[str, nn.Module] = {"as published, float32": Published(model)}
        runtimes = {"eager": "torch"}
        if self.clips == COMPILED_CLIPS:
            runtimes["torch.compile"] = "compile"
        for said, runtime in runtimes.items():
            found[f"extract, bfloat16, {said}"] = RUNTIMES[runtime](FoldedI3D(fold(model)).to(bench.device),
                                                                    torch.bfloat16)  # fmt: skip
        return found

    def frames(self, bench: Bench) -> Tensor:
        return torch.randint(0, 256, (self.clips, 8, self.side, self.side, 3), dtype=torch.uint8, device=bench.device)

    @torch.inference_mode()
    def check(self, bench: Bench) -> dict[str, float]:
        """Against float64, on the first two clips."""
        networks, frames = self.networks(bench), self.frames(bench)
        published = networks["as published, float32"]
        assert isinstance(published, Published)
        exact = deepcopy(published.network).double()(scale(frames[:2]).double().contiguous())
        answers = {name: network(frames)[:2].double() for name, network in networks.items()}
        return {name: float((answer - exact).norm() / exact.norm()) for name, answer in answers.items()}

    def races(self, bench: Bench) -> Iterator[Race]:
        frames = self.frames(bench)
        variants = {
            name: Variant(torch.inference_mode()(lambda network=network: network(frames)))
            for name, network in self.networks(bench).items()
        }  # fmt: skip
        yield Race(self.name, variants, i3d_work(self.clips, self.side),
                   notes=lambda name, spent: f"{1e3 * self.clips / spent:.0f} clips/s")  # fmt: skip


class Published(nn.Module):
    """As its users run it: NCDHW in float32."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor) -> Tensor:
        return self.network(scale(frames).contiguous())
