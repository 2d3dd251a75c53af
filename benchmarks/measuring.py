"""What bench_kernels.py measures with: clocks, rows of figures, the files that they are written to as they come."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from predictions import Work, chip_of, predicted_seconds
from torch import Tensor

from stvr.machine import processor

CALLS = 16  # in a CUDA graph: one of each set of inputs, so that none is still in the cache
ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. bytes: what must move at least; share: of the measured copy; error: relative, against float64.

    clock: "graph" is device time of a replayed CUDA graph, "device" that of a profile, "wall" what a caller waits for.
    predicted: milliseconds, for the chips that predictions.py knows.
    """

    part: str
    size: str
    variant: str
    milliseconds: float | None = None
    clock: str = ""
    predicted: float | None = None
    bytes: float | None = None
    share: float | None = None
    error: float | None = None
    note: str = ""
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to do it. run: a call, with other inputs each time. capture: whether a CUDA graph can hold it."""

    run: Callable[[], Any]
    capture: bool = False


class Bench:
    """Where it runs, how it times, what it has found; every row is on disk as soon as it is known."""

    def __init__(self, device: str, small: bool, out: Path | None, about: Mapping[str, Any] | None = None) -> None:
        self.device, self.small, self.out = torch.device(device), small, out
        self.rows, self.about = list[Row](), dict(about or {})
        self.errors: dict[tuple[str, str, str], float] = {}  # by case, size and variant
        self.copy_rate = float("nan")  # bytes a second, read and written
        self.chip = chip_of(torch.cuda.get_device_name()) if self.cuda else None

    @property
    def cuda(self) -> bool:
        return self.device.type == "cuda"

    def race(self, variants: Mapping[str, Variant]) -> dict[str, tuple[float, str]]:
        """Median milliseconds of each, and by which clock. On a CPU they take turns: load slows all of them alike."""
        if not self.cuda:
            return {name: (spent, "wall") for name, spent in in_turns(variants, 4 if self.small else 8).items()}
        found = {}
        for name, variant in variants.items():
            if variant.capture:
                found[name] = (graph_milliseconds(variant.run), "graph")
            else:
                found[name] = (wall_milliseconds(variant.run), "wall")
        return found

    def time(self, run: Callable[[], Any]) -> tuple[float, str]:
        return self.race({"": Variant(run, capture=True)})[""]

    def add(self, part: str, size: str, variant: str, timed: tuple[float, str], work: Work | None = None,
            least: float = 0.0, *, wide: bool = False, **rest: Any) -> None:  # fmt: skip
        """least: bytes that must move whatever the design. wide: its products are float32."""
        milliseconds, clock = timed
        share = least / (1e-3 * milliseconds) / self.copy_rate if least else None
        predicted = 1e3 * predicted_seconds(work, self.chip, wide=wide) if work and self.chip else None
        self.put(Row(part, size, variant, milliseconds, clock, predicted, least or None, share, **rest))

    def put(self, row: Row) -> None:
        self.rows.append(row)
        said = row.note if row.milliseconds is None else f"{row.milliseconds:.4f} ms {row.clock}"
        print(f"  {', '.join(filter(None, (row.part, row.size, row.variant)))}: {said}", flush=True)
        self.write()

    def maps(self, *size: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.randn(size, device=self.device).to(dtype).contiguous(memory_format=torch.channels_last)

    def write(self) -> None:
        if self.out is None:
            return
        self.out.mkdir(parents=True, exist_ok=True)
        stem = f"kernels_{self.device.type}{'_small' if self.small else ''}"
        found = {**self.about, "rows": [asdict(row) for row in self.rows]}
        whole(self.out / f"{stem}.json", json.dumps(found, indent=1))
        whole(self.out / f"{stem}.md", "\n".join(table(self)))


def whole(path: Path, text: str) -> None:
    """Written beside it, then put in its place: a kill leaves the old file or the new one."""
    beside = path.with_suffix(".partial")
    beside.write_text(text + "\n", encoding="utf-8")
    beside.replace(path)


def graph_milliseconds(run: Callable[[], Any]) -> float:
    """Device time of a call: CALLS of them captured in one CUDA graph, which is replayed."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(CALLS):
            run()
    graph.replay()
    return median_between(graph.replay, 1) / CALLS


def wall_milliseconds(run: Callable[[], Any]) -> float:
    """What a caller waits for, who calls again and again: the device's time, or the host's where that is longer."""
    run()
    torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    torch.cuda.synchronize()
    once = time.perf_counter() - start
    return median_between(run, max(1, min(CALLS, int(0.02 / max(once, 1e-6)))))


def median_between(run: Callable[[], Any], calls: int) -> float:
    """Median milliseconds between two events, with so many calls between them; at most two seconds are spent."""
    first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    times: list[float] = []
    begun = time.perf_counter()
    while len(times) < ROUNDS and (len(times) < 3 or time.perf_counter() - begun < 2.0):
        torch.cuda.synchronize()
        first.record()
        for _ in range(calls):
            run()
        last.record()
        torch.cuda.synchronize()
        times.append(first.elapsed_time(last) / calls)
    return statistics.median(times)


def kernel_milliseconds(run: Callable[[], Any]) -> dict[str, tuple[float, float]]:
    """By kernel, from a profile: median device milliseconds of a launch, and launches a call."""
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    for _ in range(3):
        run()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        for _ in range(CALLS):
            run()
        torch.cuda.synchronize()
    spent: dict[str, list[float]] = {}
    for event in profiled.events():
        if event.device_type == DeviceType.CUDA:
            spent.setdefault(event.name, []).append(1e-3 * event.time_range.elapsed_us())
    return {name: (statistics.median(times), len(times) / CALLS) for name, times in spent.items()}


def in_turns(variants: Mapping[str, Variant], rounds: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(rounds):
        for name, variant in variants.items():
            start = cpu_clock()
            variant.run()
            if number:  # the first warms up
                times[name].append(1e3 * (cpu_clock() - start))
    return {name: statistics.median(spent) for name, spent in times.items()}


def cpu_clock() -> float:
    """One thread is timed by the processor's clock, which stands still while others run."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def table(bench: Bench) -> Iterator[str]:
    yield f"# Kernels on {machine(bench.device)}\n"
    processor = " of processor time" if bench.device.type == "cpu" and torch.get_num_threads() == 1 else ""
    small = " --small" if bench.small else ""
    yield f"`python benchmarks/bench_kernels.py --device {bench.device.type}{small}`, " \
          f"torch {torch.__version__}, {time.strftime('%Y-%m-%d')}. Medians{processor}; GB/s of what must move. " \
          "Clock: device time of a replayed CUDA graph or of a profile, or what a caller waits for (wall).\n"
    for name, fact in bench.about.items():
        if not isinstance(fact, list):
            yield f"* {name}: {fact}"
    yield "\n| part | size | variant | ms | clock | predicted, ms | GB/s | share of copy | error | |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for row in bench.rows:
        rate = f"{row.bytes / row.milliseconds / 1e6:.0f}" if row.bytes and row.milliseconds else ""
        cells = (row.part, row.size, row.variant, shown(row.milliseconds, ".4g"), row.clock,
                 shown(row.predicted, ".4g"), rate, shown(row.share, ".0%"), shown(row.error, ".1e"),
                 row.note)  # fmt: skip
        yield f"| {' | '.join(cells)} |"
    compiled = bench.about.get("compiled")
    if compiled:
        yield "\n| compiled kernel | types | registers | spills | shared, bytes |\n|---|---|---|---|---|"
        for each in compiled:
            yield f"| {' | '.join(str(cell) for cell in each)} |"


def shown(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{processor()}, {torch.get_num_threads()} thread(s), no CUDA"
