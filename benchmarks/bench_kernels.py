"""Times the kernels and what they serve, on CUDA or on a CPU; writes JSON and a table in Markdown.

    python benchmarks/bench_kernels.py [--device cuda] [--seconds 480] [--small] [--out benchmarks/results]

First the ceilings (copy, matrix product), then every operation: checked first (against the plain twin in float64, on
fresh inputs, with fresh memory set to NaN), then timed beside a line-by-line port of TensorFlow's, plain and under
torch.compile. Needs only torch, triton and numpy. A part that fails or has no time left says so in the table, and the
rest goes on; the exit status is then 1.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from measuring import Bench, Row, table, write
from paper_layers import PaperLayers
from rivals import PortedCell, gates_port, sparse_image_warp
from torch import Tensor, nn
from torch.nn import functional

from stvr.backbones.fold import fold
from stvr.backbones.i3d import I3D
from stvr.kernels import crop_max, lstm_gates, spline_warp
from stvr.kernels.crop_max import reference as crop_reference
from stvr.kernels.lstm_gates import reference as gates_reference
from stvr.kernels.warp import reference as warp_reference
from stvr.propagation import Recurrent
from stvr.propagation.aligners import SplineAligner, control_points
from stvr.propagation.cell import Cell
from stvr.propagation.gates import BottleneckGates

CELLS = (20, 20)
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 2e-2}
ROTATED = 300 << 20  # bytes of inputs used in turn: far more than any cache on a chip
NAMES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}


def ceilings(bench: Bench) -> None:
    """Copy of 1 GB, product of square matrices."""
    source = torch.empty((1 << 26 if bench.small else 1 << 29) // 2, dtype=torch.bfloat16, device=bench.device)
    target = torch.empty_like(source)
    spent = bench.milliseconds(lambda: target.copy_(source))
    bench.copy_rate = 2 * source.nbytes / (1e-3 * spent)
    bench.add("ceiling", f"{source.nbytes >> 20} MiB", "copy", spent, 2 * source.nbytes,
              note=f"{bench.copy_rate / 1e9:.0f} GB/s read and written")  # fmt: skip
    side = 1024 if bench.small else 8192 if bench.cuda else 2048
    for dtype in NAMES:
        left, right = torch.randn(2, side, side, device=bench.device).to(dtype).unbind()
        spent = bench.milliseconds(lambda left=left, right=right: left @ right)
        bench.add("ceiling", f"{side} x {side}, {NAMES[dtype]}", "matrix product", spent,
                  note=f"{2 * side**3 / spent / 1e9:.2f} TFLOP/s")  # fmt: skip


def warp_inputs(bench: Bench, batch: int, dtype: torch.dtype, channels: int) -> list[Tensor]:
    maps = [bench.maps(batch, channels, *CELLS, dtype=dtype) for _ in range(2)]
    return [*maps, torch.randn(batch, 9, 2, device=bench.device)]


def warp_ours(hidden: Tensor, memory: Tensor, moves: Tensor) -> list[Tensor]:
    return spline_warp([hidden, memory], control_points(*CELLS).to(hidden.device), moves)


def warp_port(hidden: Tensor, memory: Tensor, moves: Tensor) -> list[Tensor]:
    points = control_points(*CELLS).to(moves)
    return [sparse_image_warp(each.permute(0, 2, 3, 1), points, moves).permute(0, 3, 1, 2) for each in (hidden, memory)]


def warp_twin(hidden: Tensor, memory: Tensor, moves: Tensor) -> list[Tensor]:
    flow = warp_reference.spline_flow(control_points(*CELLS).to(moves), moves, *CELLS)
    return [warp_reference.dense_warp(each, flow) for each in (hidden, memory)]


def gates_inputs(bench: Bench, batch: int, dtype: torch.dtype, channels: int) -> list[Tensor]:
    maps = [bench.maps(batch, many * channels, *CELLS, dtype=dtype) for many in (4, 1, 1)]
    affine = [torch.randn(many * channels, device=bench.device) * 0.2 + shift
              for many, shift in ((4, 1), (4, 0), (1, 1), (1, 0))]  # fmt: skip
    return maps + affine


def gates_twin(*inputs: Tensor) -> tuple[Tensor, Tensor]:
    return gates_reference.lstm_gates(*inputs, 1.0, 1e-12)  # type: ignore[call-arg, arg-type]


OPERATIONS: dict[str, tuple[Callable[..., Any], ...]] = {
    "spline warp of two maps": (warp_inputs, warp_ours, warp_port, warp_twin),
    "gates and norms": (gates_inputs, lstm_gates, gates_port, gates_twin),
}
MOVED = {  # maps (B, C, H, W) that must be read or written once: forward, forward and backward
    "spline warp of two maps": (4, 10),
    "gates and norms": (8, 21),
}


def operations(bench: Bench) -> None:
    channels = 64 if bench.small else 1024
    for dtype in (torch.bfloat16, torch.float32) if bench.cuda else (torch.float32,):
        for batch in (8, 1):
            for name in OPERATIONS:
                time_operation(bench, name, batch, dtype, channels)


def time_operation(bench: Bench, name: str, batch: int, dtype: torch.dtype, channels: int) -> None:
    made, ours, port, twin = OPERATIONS[name]
    size = f"{batch} x {channels} x {CELLS[0]} x {CELLS[1]}, {NAMES[dtype]}"
    variants = {"port, eager": port, "ours": ours}
    if bench.cuda and batch > 1 and dtype == torch.bfloat16:  # compiling takes its time: once for each
        variants["port, torch.compile"] = torch.compile(port, dynamic=False)
    unit = batch * channels * CELLS[0] * CELLS[1] * dtype.itemsize
    sets = max(2, min(16, ROTATED // (8 * unit)))
    errors, runs, trained_runs = {}, {}, {}
    for variant, function in variants.items():
        errors[variant] = relative_error(function, twin, made(bench, batch, dtype, channels), poison=variant == "ours")
        if not errors[variant] < TOLERANCE[dtype] and variant == "ours":
            bench.rows.append(Row(name, size, variant, error=errors[variant], note="wrong: not timed"))
            continue
        inputs = cycle([made(bench, batch, dtype, channels) for _ in range(sets)])
        trained = cycle([[part.detach().requires_grad_() for part in next(inputs)] for _ in range(sets)])
        runs[variant] = no_grad(lambda function=function, inputs=inputs: function(*next(inputs)))
        trained_runs[variant] = lambda function=function, trained=trained: there_and_back(function, next(trained))
    races = (("forward", runs, MOVED[name][0]), ("forward and backward", trained_runs, MOVED[name][1]))
    for part, race, units in races:
        for variant, spent in bench.race(race).items():
            bench.add(f"{name}, {part}", size, variant, spent, units * unit, error=errors[variant])


def no_grad(function: Callable[[], Any]) -> Callable[[], Any]:
    return torch.no_grad()(function)


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


def regions(bench: Bench) -> None:
    """Sixteen boxes of each map, cropped; what must move: maps and regions, and a byte a number for the way back."""
    channels, clips, each = (64, 2, 4) if bench.small else (1024, 48 if bench.cuda else 6, 16)
    for dtype in (torch.bfloat16, torch.float32) if bench.cuda else (torch.float32,):
        maps = torch.randn(clips, *CELLS, channels, device=bench.device).to(dtype)
        low = torch.rand(clips * each, 2, device=bench.device) / 2
        boxes = torch.cat([low, low + 0.1 + 0.4 * torch.rand_like(low)], -1)
        owners = torch.arange(clips, device=bench.device).repeat_interleave(each)
        variants: dict[str, Callable[..., Tensor]] = {
            "grid_sample, max_pool2d": lambda maps, boxes=boxes: crop_by_grid(maps, boxes),
            "ours": lambda maps, boxes=boxes: crop_max(maps, boxes),
        }

        def twin(maps: Tensor, boxes: Tensor = boxes, owners: Tensor = owners) -> list[Tensor]:
            return [crop_reference.crop_max(maps, boxes.to(maps.dtype), owners)]

        errors, runs, trained = {}, {}, {}
        leaf = maps.clone().requires_grad_()
        for name, run in variants.items():
            errors[name] = relative_error(lambda x, run=run: [run(x)], twin, [maps[:clips]], poison=name == "ours")
            runs[name] = no_grad(lambda run=run, maps=maps: run(maps))
            trained[name] = lambda run=run, leaf=leaf: there_and_back(lambda x: [run(x)], [leaf])
        size = f"{clips} x {CELLS[0]} x {CELLS[1]} x {channels}, {each} boxes each, {NAMES[dtype]}"
        numbers, least = len(boxes) * 49 * channels, maps.nbytes + len(boxes) * 49 * channels * dtype.itemsize
        for part, race, moved in (("forward", runs, least),
                                  ("forward and backward", trained, 2 * least + 2 * numbers)):  # fmt: skip
            for name, spent in bench.race(race).items():
                bench.add(f"crop and maximum, {part}", size, name, spent, moved, error=errors[name])


def crop_by_grid(maps: Tensor, boxes: Tensor) -> Tensor:
    """(N, H, W, C) and (R, 4) -> (R, 7, 7, C), by torch's own operators; boxes within the map."""
    low, high = (2 * boxes - 1).unflatten(0, (len(maps), -1)).split(2, -1)  # (N, K, 2)
    steps = torch.linspace(0, 1, 14, device=boxes.device)[:, None]
    across, down = (low[..., None, :] + steps * (high - low)[..., None, :]).unbind(-1)  # (N, K, 14)
    sides = (across[:, :, None, :].expand(-1, -1, 14, -1), down[..., None].expand(-1, -1, -1, 14))
    grid = torch.stack(sides, -1).flatten(1, 2).to(maps.dtype)
    crops = functional.max_pool2d(functional.grid_sample(maps.movedim(-1, 1), grid, align_corners=True), 2)
    return crops.unflatten(2, (-1, 7)).permute(0, 2, 3, 4, 1).flatten(0, 1)


def recurrent(bench: Bench) -> None:
    """The whole step and the loop over six clips: the authors' cell ported, ours, ours compiled."""
    channels, clips = (64, 2) if bench.small else (1024, 6)
    torch.manual_seed(0)
    cell = warp_lstm_cell(channels).to(bench.device)
    for dtype in (torch.bfloat16, torch.float32) if bench.cuda else (torch.float32,):
        cell = cell.to(dtype)
        variants = {"port, eager": Recurrent(PortedCell(cell)), "ours, eager": Recurrent(cell)}
        for batch in (8, 1):
            for length in (1, clips):
                if bench.cuda and batch > 1 and length > 1 and dtype == torch.bfloat16:
                    variants["ours, compiled"] = Recurrent(cell, compiled=True)
                else:
                    variants.pop("ours, compiled", None)
                whole = bench.maps(batch * length, channels, *CELLS, dtype=dtype)
                features = whole.permute(0, 2, 3, 1).unflatten(0, (batch, length))
                compare(bench, variants, features)


def warp_lstm_cell(channels: int) -> Cell:
    return Cell(SplineAligner(channels), BottleneckGates(channels))


def compare(bench: Bench, variants: dict[str, Recurrent], features: Tensor) -> None:
    batch, length, *_, channels = features.shape
    size = f"{batch} x {channels} x {CELLS[0]} x {CELLS[1]}, {NAMES[features.dtype]}"
    part = "recurrent step" if length == 1 else f"recurrent loop, {length} clips"
    with torch.no_grad():
        exact = variants["port, eager"](features).double()
        errors = {name: float((run(features).double() - exact).norm() / exact.norm()) for name, run in variants.items()}
    trained = features.clone().requires_grad_()
    forward = {name: no_grad(lambda run=run: run(features)) for name, run in variants.items()}
    whole = {name: (lambda run=run: run(trained).sum().backward()) for name, run in variants.items()}
    for variant, spent in bench.race(forward).items():
        bench.add(f"{part}, forward", size, variant, spent, error=errors[variant], note="error against the port")
    for variant, spent in bench.race(whole).items():
        bench.add(f"{part}, forward and backward", size, variant, spent)


def training_step(bench: Bench) -> None:
    """Forward, backward, SGD with momentum: B 8, T 6 (fewer on a CPU), bfloat16 autocast on CUDA."""
    batch, length, channels = (8, 6, 1024) if bench.cuda else (1, 2, 1024)
    channels = 64 if bench.small else channels
    features = torch.randn(batch, length, *CELLS, channels, device=bench.device)
    grid = torch.rand(batch * length, 16 * 14, 14, 2, device=bench.device) * 2 - 1
    query = torch.randn(batch * length * 16, channels, 7, 7, device=bench.device)
    cell = warp_lstm_cell(channels)
    variants = {"port, eager": Recurrent(PortedCell(cell)), "ours, eager": Recurrent(cell)}
    if bench.cuda:
        variants["ours, compiled"] = Recurrent(cell, compiled=True)
    steps = {}
    for variant, propagation in variants.items():
        layers = PaperLayers(propagation, channels).to(bench.device, memory_format=torch.channels_last)
        optimiser = torch.optim.SGD(layers.parameters(), 1e-4, 0.9)

        def step(layers: nn.Module = layers, optimiser: torch.optim.Optimizer = optimiser) -> None:
            optimiser.zero_grad()
            with torch.autocast(bench.device.type, torch.bfloat16, enabled=bench.cuda):
                loss = layers(features, grid, query)
            loss.backward()
            optimiser.step()

        steps[variant] = step
    for variant, spent in bench.race(steps).items():
        bench.add("training step", f"{batch} x {length} clips, {channels} channels", variant, spent)


def i3d(bench: Bench) -> None:
    """To Mixed_4c, folded, bfloat16, channels_last_3d; milliseconds of a batch."""
    model = I3D("Mixed_4c").eval()
    side = 64 if bench.small else 320
    dtype = torch.bfloat16
    plain = model.to(bench.device)
    folded = fold(model).to(bench.device, dtype)
    variants: dict[str, tuple[Callable[[Tensor], Tensor], torch.dtype]] = {
        "as published, float32": (lambda clips: plain(clips.contiguous()), torch.float32), "folded": (folded, dtype),
    }  # fmt: skip
    for batch in (8, 32, 16) if bench.cuda else (2,):
        if bench.cuda and batch == 16:
            variants["folded, torch.compile"] = (torch.compile(folded, dynamic=False), dtype)
        for variant, (network, kind) in variants.items():
            clips = torch.rand(batch, 8, side, side, 3, device=bench.device).mul(2).sub(1).movedim(-1, 1).to(kind)
            with torch.inference_mode():
                exact = plain(clips[:2].float().contiguous()) if kind != torch.float32 else None
                error = None
                if exact is not None:
                    error = float((network(clips)[:2].float() - exact).norm() / exact.norm())
                spent = bench.milliseconds(lambda network=network, clips=clips: network(clips))
            note = f"{1e3 * batch / spent:.0f} clips/s"
            size = f"{batch} clips of 8 x {side} x {side}"
            bench.add("I3D to Mixed_4c", size, variant, spent, error=error, note=note)


PARTS: dict[str, Callable[[Bench], None]] = {
    "ceilings": ceilings, "operations": operations, "regions": regions, "recurrent": recurrent,
    "training step": training_step, "I3D": i3d,
}  # fmt: skip


def run(bench: Bench, seconds: float, out: Path) -> None:
    start = time.perf_counter()
    for name, part in PARTS.items():
        if time.perf_counter() - start > seconds:
            bench.rows.append(Row(name, "", "", note="not run: no time left"))
            continue
        print(f"{name} ({time.perf_counter() - start:.0f} s)", flush=True)
        try:
            part(bench)
        except Exception as fault:  # any error goes into the table
            reason = (str(fault).splitlines() or [""])[0][:150]
            bench.rows.append(Row(name, "", "", note=f"failed: {type(fault).__name__}: {reason}"))
        write(bench, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cuda", "cpu"])
    parser.add_argument("--seconds", type=float, default=480, help="start no part after this long")
    parser.add_argument("--small", action="store_true", help="sizes that show only that everything runs")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    bench = Bench(options.device, options.small)
    run(bench, options.seconds, options.out)
    print("\n".join(table(bench)))
    sys.exit(any(row.milliseconds is None for row in bench.rows))


if __name__ == "__main__":
    main()
