"""What bench_kernels.py measures with: clocks, rows of figures, the table of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stvr.machine import processor


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. bytes: what must move at least; share: of the measured copy; error: relative, against float64."""

    part: str
    size: str
    variant: str
    milliseconds: float | None = None
    bytes: int | None = None
    share: float | None = None
    error: float | None = None
    note: str = ""


class Bench:
    """Where it runs, how it times, what it has found."""

    def __init__(self, device: str, small: bool) -> None:
        self.device, self.small, self.rows = torch.device(device), small, list[Row]()
        self.copy_rate = float("nan")  # bytes a second, read and written

    @property
    def cuda(self) -> bool:
        return self.device.type == "cuda"

    def race(self, variants: dict[str, Callable[[], Any]]) -> dict[str, float]:
        """Median milliseconds of each. On a CPU they take turns, so that a busy machine slows all of them alike."""
        if self.cuda:
            from triton.testing import do_bench

            return {name: do_bench(run, warmup=50, rep=200, return_mode="median") for name, run in variants.items()}
        times: dict[str, list[float]] = {name: [] for name in variants}
        for round_ in range(4 if self.small else 8):
            for name, run in variants.items():
                start = self.clock()
                run()
                if round_:  # the first warms up
                    times[name].append(1e3 * (self.clock() - start))
        return {name: sorted(spent)[len(spent) // 2] for name, spent in times.items()}

    def milliseconds(self, function: Callable[[], Any]) -> float:
        return self.race({"": function})[""]

    @staticmethod
    def clock() -> float:
        """One thread is timed by the processor's clock, which stands still while others run."""
        return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()

    def add(self, part: str, size: str, variant: str, milliseconds: float, moved: int = 0, **rest: Any) -> None:
        share = moved / (1e-3 * milliseconds) / self.copy_rate if moved else None
        self.rows.append(Row(part, size, variant, milliseconds, moved or None, share, **rest))
        print(f"  {part}, {size}, {variant}: {milliseconds:.3f} ms", flush=True)

    def maps(self, *size: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.randn(size, device=self.device).to(dtype).contiguous(memory_format=torch.channels_last)


def write(bench: Bench, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    stem = f"kernels_{bench.device.type}{'_small' if bench.small else ''}"
    about = {"machine": machine(bench.device), "torch": torch.__version__, "rows": [asdict(row) for row in bench.rows]}
    (out / f"{stem}.json").write_text(json.dumps(about, indent=1) + "\n")
    (out / f"{stem}.md").write_text("\n".join(table(bench)) + "\n")


def table(bench: Bench) -> Iterator[str]:
    yield f"# Kernels on {machine(bench.device)}\n"
    processor = " of processor time" if bench.device.type == "cpu" and torch.get_num_threads() == 1 else ""
    small = " --small" if bench.small else ""
    yield f"`python benchmarks/bench_kernels.py --device {bench.device.type}{small}`, " \
          f"torch {torch.__version__}, {time.strftime('%Y-%m-%d')}. Medians{processor}; GB/s of what must move.\n"
    yield "| part | size | variant | ms | GB/s | share of copy | error | |\n|---|---|---|---|---|---|---|---|"
    for row in bench.rows:
        rate = f"{row.bytes / row.milliseconds / 1e6:.0f}" if row.bytes and row.milliseconds else ""
        cells = (row.part, row.size, row.variant, shown(row.milliseconds, ".3f"), rate, shown(row.share, ".0%"),
                 shown(row.error, ".1e"), row.note)  # fmt: skip
        yield f"| {' | '.join(cells)} |"


def shown(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{processor()}, {torch.get_num_threads()} thread(s), no CUDA"
