"""What a figure comes from: versions, driver, clocks, commit, and what the compiler made of each kernel."""

from __future__ import annotations

import importlib
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from measuring import machine

ROOT = Path(__file__).parents[1]
ASKED = ("driver_version", "clocks.sm", "clocks.mem", "clocks.max.sm", "power.limit", "temperature.gpu")


def circumstances(device: torch.device) -> dict[str, Any]:
    facts = {
        "machine": machine(device), "commit": said(["git", "-C", str(ROOT), "describe", "--always", "--dirty"]),
        "python": platform.python_version(), "torch": torch.__version__, "triton": version("triton"),
    }  # fmt: skip
    if device.type == "cuda":
        seen = torch.cuda.get_device_properties(device)
        facts |= {
            "CUDA": str(torch.version.cuda or torch.version.hip), "cuDNN": str(torch.backends.cudnn.version()),
            "multiprocessors": str(seen.multi_processor_count), "L2, bytes": str(getattr(seen, "L2_cache_size", "")),
            "clocks before": clocks(),
        }  # fmt: skip
    return facts


def clocks() -> str:
    """Driver, clocks, power limit and temperature, as nvidia-smi reads them; nothing is set."""
    found = said(["nvidia-smi", f"--query-gpu={','.join(ASKED)}", "--format=csv,noheader"])
    return ", ".join(f"{name} {value}" for name, value in zip(ASKED, found.splitlines()[0].split(", "), strict=False))


def said(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return "not known"
    return done.stdout.strip() or "not known"


def version(package: str) -> str:
    try:
        return str(importlib.import_module(package).__version__)
    except ImportError:
        return "not installed"


def compiled_kernels() -> list[list[Any]]:
    """Every kernel of ours that was launched here: name, types of its pointers, registers, spills, shared bytes."""
    found = [facts for function in launched() for facts in variants_of(function)]
    return [list(each) for each in sorted({tuple(each) for each in found}, key=str)]


def launched() -> Iterator[Any]:
    for name, module in list(sys.modules.items()):
        if name.startswith("stvr.kernels."):
            for value in list(vars(module).values()):
                if hasattr(value, "device_caches") and getattr(value.fn, "__module__", "") == name:
                    yield value


def variants_of(function: Any) -> Iterator[list[Any]]:
    for cached in function.device_caches.values():
        for kernel in cached[0].values():
            signature = getattr(getattr(kernel, "src", None), "signature", {})
            types = sorted({kind for kind in signature.values() if str(kind).startswith("*")})
            numbers = [getattr(kernel, name, "not known") for name in ("n_regs", "n_spills")]
            yield [function.fn.__name__, " ".join(types), *numbers, getattr(kernel.metadata, "shared", "not known")]
