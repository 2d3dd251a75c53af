"""What runs a network for inference: torch, also with fewer products, torch.compile or OpenVINO. Menu: RUNTIMES."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from stvr.backbones.hands import by_hands
from stvr.backbones.onednn import AlwaysOneDNN
from stvr.backbones.winograd import suits, with_fewer_products

OPENVINO_PRECISION = {torch.float32: "f32", torch.bfloat16: "bf16"}


def instruction_set(device: torch.device | str) -> str:
    """What decides how sums round: the name of a GPU, the instructions of a CPU, such as "x86_64 AVX512 BF16"."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    words = [platform.machine(), torch.backends.cpu.get_cpu_capability()]
    if words[-1] == "AVX512":
        words += ["BF16"] * torch.cpu._is_avx512_bf16_supported() + ["AMX"] * torch.cpu._is_amx_tile_supported()
    return " ".join(words)


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 natively; where it does not, bfloat16 is slower than float32.

    A CPU's oneDNN may be held to fewer instructions than the CPU has, by ONEDNN_MAX_CPU_ISA.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return bool(native and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def check_bfloat16(device: torch.device | str) -> None:
    """ValueError for a CPU that has to imitate bfloat16."""
    if torch.device(device).type == "cpu" and not has_bfloat16(torch.device(device)):
        raise ValueError("this CPU does not multiply bfloat16, or may not by ONEDNN_MAX_CPU_ISA; imitating it took 78 "
                         "core seconds for a clip that float32 did in 0.5. Give --precision float32.")


class Eager(nn.Module):
    """`network`, a function of uint8 frames, computing in `dtype`; equal bits for every batch and number of threads."""

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = network.to(dtype)

    def forward(self, frames: Tensor) -> Any:
        with AlwaysOneDNN():
            return self.network(frames)


class Winograd(Eager):
    """`network` in float32 on a CPU, its wide convolutions by `stvr.backbones.winograd`: two thirds of the time."""

    clips_at_once = 0

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        if dtype != torch.float32 or next(network.parameters()).device.type != "cpu" or not runs_by_winograd(network):
            raise ValueError("the runtime 'winograd' is for I3D in float32 on a CPU. Give --runtime torch, or "
                             "--backbone i3d --precision float32 --device cpu.")
        super().__init__(with_fewer_products(network), dtype)

    def forward(self, frames: Tensor) -> Any:
        maps = by_hands(super().forward, frames.split(1))
        return torch.cat(maps) if isinstance(maps[0], Tensor) else tuple(map(torch.cat, zip(*maps, strict=True)))


def runs_by_winograd(network: nn.Module) -> bool:
    """Whether it has layers that gain by it."""
    return any(map(suits, network.modules()))


class Compiled(nn.Module):
    """The network run by torch.compile, on CUDA as CUDA graphs; compiles for each new shape of clips, 10 to 60 s."""

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = network.to(dtype)
        self._compiled: Callable[[Tensor], Tensor] | None = None

    def forward(self, frames: Tensor) -> Tensor:
        if len(frames) == 1 and not frames.is_cuda:  # a single clip would be slower, and round differently
            return self(frames.expand(2, *frames.shape[1:]).contiguous())[:1]
        if self._compiled is None:
            mode = "reduce-overhead" if frames.is_cuda else "default"
            self._compiled = torch.compile(self.network, dynamic=False, mode=mode)
        return self._compiled(frames).clone()  # a CUDA graph overwrites its output at the next run

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_compiled": None}  # another process compiles its own


class OpenVINO(nn.Module):
    """The network run by OpenVINO with float32 weights, computing in `dtype`; compiled for each new shape of clips."""

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        import_openvino()
        super().__init__()
        self.network, self.hint = network, OPENVINO_PRECISION[dtype]
        self._compiled: dict[torch.Size, Any] = {}

    def forward(self, frames: Tensor) -> Tensor:
        if frames.device.type != "cpu":
            raise ValueError(f"wanted clips on the CPU, where OpenVINO runs here, got {frames.device}. "
                             "Give --runtime torch or compile.")
        if frames.shape not in self._compiled:
            self._compiled[frames.shape] = self._compile(frames)
        return torch.from_numpy(self._compiled[frames.shape](frames.numpy())[0].copy())

    def _compile(self, frames: Tensor) -> Any:
        openvino = import_openvino()
        with torch.inference_mode(False), torch.no_grad():
            graph = torch.export.export(self.network, (torch.zeros_like(frames),))
        hints = {"INFERENCE_PRECISION_HINT": self.hint, "PERFORMANCE_HINT": "LATENCY",
                 "INFERENCE_NUM_THREADS": torch.get_num_threads()}
        return openvino.Core().compile_model(openvino.convert_model(graph), "CPU", hints)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_compiled": {}}


def import_openvino() -> Any:
    """OpenVINO, which is an extra, with its telemetry off: without that package it falls back on a stub of its own."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        import openvino
    except ImportError:
        raise LookupError("the runtime 'openvino' needs OpenVINO, which is not installed. "
                          "Run `pip install 'stvr[openvino]'`, or give --runtime torch.") from None
    return openvino


RUNTIMES: dict[str, Callable[[nn.Module, torch.dtype], nn.Module]] = {
    "torch": Eager, "winograd": Winograd, "compile": Compiled, "openvino": OpenVINO,
}  # fmt: skip
