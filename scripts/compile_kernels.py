"""Compiles every kernel of stvr/kernels for three GPUs on a machine without a GPU; a spilled register is a failure.

    python scripts/compile_kernels.py [--only WORD] [--processes 2]

Prints a table: kernel, target, registers, shared memory, spills, 16-byte loads, atomics. Exit status 1 when a kernel
does not compile, spills, has an atomic (its sums would differ from run to run), or has no case. Must run without
TRITON_INTERPRET.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

TARGETS = {"sm_80": ("cuda", 80, 32), "sm_90": ("cuda", 90, 32), "gfx942": ("hip", "gfx942", 64)}
KERNELS = Path(__file__).resolve().parents[1] / "stvr" / "kernels"


@dataclass(frozen=True, slots=True)
class Job:
    """Which case of which file to compile for which target; small enough to send to another process."""

    module: str
    target: str
    index: int
    name: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the compiler made: registers of a thread, shared memory in bytes, spills in bytes or instructions."""

    registers: int = 0
    shared: int = 0
    spills: int = 0
    wide_loads: int = 0
    atomics: int = 0
    seconds: float = 0.0
    error: str = ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="compile only the cases whose name has this word in it")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args()
    if os.environ.get("TRITON_INTERPRET", "0") == "1":
        sys.exit("compile_kernels.py needs a compiler, but TRITON_INTERPRET=1 asks for the interpreter. Unset it.")
    if importlib.util.find_spec("triton") is None:
        print("No kernel was compiled: triton is not installed. Linux has it (`pip install triton`); elsewhere the "
              "package runs without these kernels.")
        return 0
    start = perf_counter()
    modules = [f"stvr.kernels.{path.parent.name}.{path.stem}" for path in sorted(KERNELS.glob("*/*kernel.py"))]
    forgotten = [name for module in modules for name in kernels_without_case(module)]
    jobs = [job for module in modules for job in jobs_of(module) if options.only in job.name]
    failures = report(jobs, compile_all(jobs, options.processes))
    for name in forgotten:
        print(f"{name} has no compile case: add one to compile_cases() in its file.")
    print(f"{len(jobs)} compiled in {perf_counter() - start:.0f} s, {failures} failed.")
    return int(failures > 0 or bool(forgotten))


def compile_all(jobs: list[Job], processes: int) -> list[Outcome]:
    """Compiles in separate processes and with an empty cache, so that nothing comes from an earlier run."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TRITON_CACHE_DIR"] = cache
        with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
            return list(pool.map(compile_job, jobs))


def report(jobs: list[Job], outcomes: list[Outcome]) -> int:
    """Prints the table; returns how many failed."""
    failures = 0
    print("| kernel | target | registers | shared, bytes | spills | 16-byte loads | atomics | s |")
    print("|---|---|---|---|---|---|---|---|")
    for job, outcome in zip(jobs, outcomes, strict=True):
        failed = bool(outcome.error) or outcome.spills > 0 or outcome.atomics > 0
        failures += failed
        print(f"| {job.name} | {job.target} | {outcome.registers} | {outcome.shared} | {outcome.spills} "
              f"| {outcome.wide_loads} | {outcome.atomics} | {outcome.seconds:.1f} |"
              f"{' FAILED ' + outcome.error if failed else ''}")
    return failures


def jobs_of(module: str) -> list[Job]:
    cases = {target: cases_of(module, target) for target in TARGETS}
    return [
        Job(module, target, index, case.name) for target in TARGETS for index, case in enumerate(cases[target])
    ]  # fmt: skip


def cases_of(module: str, target: str) -> list[Any]:
    return importlib.import_module(module).compile_cases(TARGETS[target][0])


def kernels_without_case(module: str) -> list[str]:
    """Launched kernels (jitted, no leading underscore) that no case names."""
    from triton.runtime.jit import JITFunction

    named = {case.kernel.fn.__name__ for target in TARGETS for case in cases_of(module, target)}
    launched = {
        name for name, value in vars(importlib.import_module(module)).items()
        if isinstance(value, JITFunction) and value.fn.__module__ == module and not name.startswith("_")
    }  # fmt: skip
    return sorted(launched - named)


def compile_job(job: Job) -> Outcome:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    case = cases_of(job.module, job.target)[job.index]
    names = case.kernel.arg_names
    missing = [name for name in names if name not in case.arguments and name not in case.constants]
    if missing:
        return Outcome(error=f"its case does not mention {missing}")
    types = {name: "constexpr" if name in case.constants else case.arguments[name] for name in names}
    aligned = {(place,): [["tt.divisibility", 16]] for place, name in enumerate(names) if types[name].startswith("*")}
    source = ASTSource(case.kernel, types, constexprs=dict(case.constants), attrs=aligned)
    options = {"num_warps": case.num_warps, "num_stages": case.num_stages, **case.options}
    start = perf_counter()
    try:
        compiled = triton.compile(source, target=GPUTarget(*TARGETS[job.target]), options=options)
        resources = nvidia_resources if "cubin" in compiled.asm else amd_resources
        registers, *counts = resources(compiled)
    except Exception as fault:  # any error goes into the table, and the rest goes on
        return Outcome(seconds=perf_counter() - start, error=f"{type(fault).__name__}: {str(fault)[:200]!r}")
    return Outcome(registers, compiled.metadata.shared, *counts, seconds=perf_counter() - start)


def nvidia_resources(compiled: Any) -> tuple[int, int, int, int]:
    """Registers; spills, in bytes of stack plus local loads and stores; 16-byte loads; atomics: of the machine code."""
    from triton import knobs

    dump = knobs.nvidia.cuobjdump.path
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        usage, code = (
            subprocess.run([dump, what, file.name], capture_output=True, text=True, check=True).stdout
            for what in ("-res-usage", "-sass")
        )
    found = {name: int(value) for name, value in re.findall(r"\b(REG|STACK|LOCAL):(\d+)", usage)}
    spills = found["STACK"] + found["LOCAL"] + len(re.findall(r"\b(?:STL|LDL)\b", code))
    wide = len(re.findall(r"\bLDG\.E[\w.]*\.128", code))
    return found["REG"], spills, wide, len(re.findall(r"\b(?:RED|REDG|ATOM|ATOMG)\b", code))


def amd_resources(compiled: Any) -> tuple[int, int, int, int]:
    """Vector registers; spilled registers plus bytes of private memory; 16-byte loads; atomics."""
    code = compiled.asm["amdgcn"]
    pattern = r"\.(vgpr_count|vgpr_spill_count|sgpr_spill_count|private_segment_fixed_size):\s+(\d+)"
    found = {name: int(value) for name, value in re.findall(pattern, code)}
    spills = sum(found[name] for name in ("vgpr_spill_count", "sgpr_spill_count", "private_segment_fixed_size"))
    wide = len(re.findall(r"\b(?:buffer|global)_load_dwordx4\b", code))
    return found["vgpr_count"], spills, wide, len(re.findall(r"\b(?:buffer|global|flat)_atomic_", code))


if __name__ == "__main__":
    sys.exit(main())
