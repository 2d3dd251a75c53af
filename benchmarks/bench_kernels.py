"""Times the kernels and what they serve, on CUDA or on a CPU; writes JSON and a table in Markdown, row by row.

    python benchmarks/bench_kernels.py [--device cuda] [--seconds 330] [--small] [--out benchmarks/results] [--ahead]

Everything is checked first (against plain twins in float64, on fresh inputs, with fresh memory set to NaN), then timed
beside a line-by-line port of TensorFlow's, plain and under torch.compile; what should come out of it (predictions.py)
stands beside it. --ahead times nothing: it runs every case once, in as many processes as there are cores, so that all
that is compiled lies in the caches of Triton and torch. Needs torch, torchvision, triton and numpy. A case that fails,
is wrong, or has no time left says so in the table, and the rest goes on; the exit status is then 1.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import cycle
from multiprocessing import get_context
from pathlib import Path

import torch
from cases import Case, check_case, time_case, warm_case
from circumstances import circumstances, clocks, compiled_kernels
from crop_cases import crop_cases
from kernel_operations import CELLS, NAMES, OPERATIONS, operation_cases, there_and_back
from measuring import Bench, Row, kernel_milliseconds, table
from network_cases import i3d_cases, recurrent_cases, step_cases
from predictions import MAPS, Work, kernel_work, map_bytes

from stvr.processes import end_with_parent

GROUPS: dict[str, Callable[[Bench], Iterator[Case]]] = {
    "I3D": i3d_cases, "operations": operation_cases, "training step": step_cases, "recurrent": recurrent_cases,
    "crop": crop_cases,
}  # fmt: skip
ALONE = 4 << 30  # bytes of GPU memory that a process which compiles ahead may need


def ceilings(bench: Bench) -> None:
    """Copy of 1 GB, product of square matrices."""
    source = torch.empty((1 << 26 if bench.small else 1 << 29) // 2, dtype=torch.bfloat16, device=bench.device)
    target = torch.empty_like(source)
    timed = bench.time(lambda: target.copy_(source))
    bench.copy_rate = 2 * source.nbytes / (1e-3 * timed[0])
    bench.add("ceiling", f"{source.nbytes >> 20} MiB", "copy", timed, Work(2 * source.nbytes), 2 * source.nbytes,
              note=f"{bench.copy_rate / 1e9:.0f} GB/s read and written")  # fmt: skip
    side = 1024 if bench.small else 8192 if bench.cuda else 2048
    for dtype in NAMES:
        left, right = torch.randn(2, side, side, device=bench.device).to(dtype).unbind()
        timed = bench.time(lambda left=left, right=right: left @ right)
        bench.add("ceiling", f"{side} x {side}, {NAMES[dtype]}", "matrix product", timed, Work(flop=2 * side**3),
                  wide=dtype == torch.float32, note=f"{2 * side**3 / timed[0] / 1e9:.2f} TFLOP/s")  # fmt: skip


def single_kernels(bench: Bench) -> None:
    """Device time of each kernel of ours, there and back, from a profile."""
    batch, channels = 8, 64 if bench.small else 1024
    size = f"{batch} x {channels} x {CELLS[0]} x {CELLS[1]}, bfloat16"
    for name, operation in OPERATIONS.items():
        inputs = cycle([[part.requires_grad_() for part in operation.inputs(bench, batch, torch.bfloat16, channels)]
                        for _ in range(8)])  # fmt: skip
        spent = kernel_milliseconds(lambda inputs=inputs, ours=operation.ours: there_and_back(ours, next(inputs)))
        for kernel, (milliseconds, launches) in spent.items():
            short = kernel if len(kernel) < 60 else f"{kernel[:57]}..."
            bench.add(f"kernels of {name}", size, f"`{short}`", (milliseconds, "device"),
                      kernel_work(kernel, batch, channels, 2) if kernel in MAPS or "spline" in kernel else None,
                      MAPS.get(kernel, 0.0) * map_bytes(batch, channels, 2),
                      note=f"{launches:g} a call")  # fmt: skip


def cases_of(bench: Bench) -> list[Case]:
    """Of every group; one that cannot be made is a row that says why."""
    found: list[Case] = []
    for name, cases in GROUPS.items():
        attempt(bench, name, lambda cases=cases: found.extend(cases(bench)))
    return found


def attempt(bench: Bench, name: str, action: Callable[[], object], size: str = "") -> None:
    """Any error goes into the table, and the rest goes on."""
    try:
        action()
    except Exception as fault:
        reason = (str(fault).splitlines() or [""])[0][:150].replace("|", "/")
        bench.put(Row(name, size, "", note=f"failed: {type(fault).__name__}: {reason}", failed=True))
    gc.collect()
    if bench.cuda:
        torch.cuda.empty_cache()


def run(bench: Bench, seconds: float) -> None:
    start = time.perf_counter()
    cases = cases_of(bench)
    unchecked: set[int] = set()
    for case in cases:
        before = len(bench.rows)
        attempt(bench, f"check of {case.name}", lambda case=case: check_case(bench, case), case.size)
        if len(bench.rows) > before:
            unchecked.add(id(case))
    actions: list[tuple[str, str, Callable[[], object]]] = [("ceilings", "", lambda: ceilings(bench))]
    for case in cases:
        if id(case) not in unchecked:
            actions.append((case.name, case.size, lambda case=case: time_case(bench, case)))
    if bench.cuda:
        actions.insert(4, ("single kernels", "", lambda: single_kernels(bench)))
    for name, size, action in actions:
        if time.perf_counter() - start > seconds:
            bench.put(Row(name, size, "", note="not run: no time left", failed=True))
            continue
        print(f"{name}, {size} ({time.perf_counter() - start:.0f} s)", flush=True)
        attempt(bench, name, action, size)
    if bench.cuda:
        bench.about |= {"clocks after": clocks(), "compiled": compiled_kernels()}
    bench.write()


def compile_ahead(device: str, small: bool) -> int:
    """Every case once, each in a process of its own; returns how many failed."""
    start = time.perf_counter()
    bench = Bench(device, small, None)
    count = len(cases_of(bench))
    processes = min(count, os.cpu_count() or 1)
    if bench.cuda:
        processes = min(processes, max(1, torch.cuda.mem_get_info()[1] // ALONE))
    failed = sum(row.failed for row in bench.rows)
    with ProcessPoolExecutor(processes, get_context("spawn"), initializer=end_with_parent) as pool:
        jobs = {pool.submit(warm_one, device, small, place): place for place in range(count)}
        for job in as_completed(jobs):
            said, fault = job.result()
            failed += bool(fault)
            print(f"  ahead: {said}{fault and f' failed: {fault}'} ({time.perf_counter() - start:.0f} s)", flush=True)
    return failed


def warm_one(device: str, small: bool, place: int) -> tuple[str, str]:
    """What was run, and what went wrong."""
    torch.set_num_threads(1)
    settle()
    bench = Bench(device, small, None)
    case = cases_of(bench)[place]
    try:
        warm_case(bench, case)
    except Exception as fault:  # told, and the rest goes on
        return f"{case.name}, {case.size}", f"{type(fault).__name__}: {(str(fault).splitlines() or [''])[0][:150]}"
    return f"{case.name}, {case.size}", ""


def settle() -> None:
    """As `stvr` runs on CUDA at its fastest."""
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cuda", "cpu"])
    parser.add_argument("--seconds", type=float, default=330, help="start no case after this long")
    parser.add_argument("--small", action="store_true", help="sizes that show only that everything runs")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--ahead", action="store_true", help="time nothing: compile for every case, on every core")
    options = parser.parse_args()
    if options.ahead:
        sys.exit(compile_ahead(options.device, options.small) > 0)
    settle()
    device = torch.device(options.device)
    bench = Bench(options.device, options.small, options.out, circumstances(device))
    run(bench, options.seconds)
    print("\n".join(table(bench)))
    sys.exit(any(row.failed for row in bench.rows))


if __name__ == "__main__":
    main()
