"""Checks, then times, the spline warp of hidden and memory on this CPU against a port of TensorFlow's op.

    python benchmarks/bench_warp_cpu.py [--rounds 15] [--threads 2] [--out benchmarks/results/warp_cpu.md]

The rivals take turns within every round, so that a busy machine slows all of them alike. A ratio is taken within each
round; the table has the median of the rounds with the quarter and three-quarter points, which say how noisy they were,
and the fastest rounds, which say what the machine can do undisturbed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles
from time import perf_counter

import torch
from torch import Tensor

from stvr.kernels import spline_warp
from stvr.kernels.warp import reference
from stvr.machine import processor

CHANNELS, SIDE = 1024, 20
POINTS = torch.cartesian_prod(torch.tensor([5.0, 10.0, 15.0]), torch.tensor([5.0, 10.0, 15.0]))
Warp = Callable[[Tensor, Tensor, Tensor], list[Tensor]]  # hidden, memory (B, C, H, W), displacement (B, 9, 2)


# The port: tf.contrib.image.sparse_image_warp line by line, once for each state, as the released cell calls it.


def port_sparse_image_warp(image: Tensor, source: Tensor, destination: Tensor) -> Tensor:
    """image (B, H, W, C); source and destination (B, N, 2)."""
    batch, height, width, _ = image.shape
    border = reference.boundary_points(height, width, 4).to(image).expand(batch, -1, 2)
    source, destination = torch.cat([source, border], 1), torch.cat([destination, border], 1)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    grid = torch.stack([rows, columns], -1).to(image)  # (H, W, 2)
    cells = grid.reshape(1, -1, 2).expand(batch, -1, 2)
    flow = port_interpolate_spline(destination, destination - source, cells).reshape(batch, height, width, 2)
    return port_bilinear(image, grid - flow)


def port_interpolate_spline(points: Tensor, values: Tensor, queries: Tensor) -> Tensor:
    batch, number, _ = points.shape
    kernel = port_phi(port_cross_squared_distance(points, points))
    linear = torch.cat([points, torch.ones_like(points[..., :1])], -1)
    zeros = points.new_zeros(batch, 3, 3)
    left = torch.cat([torch.cat([kernel, linear], 2), torch.cat([linear.transpose(1, 2), zeros], 2)], 1)  # (B, 28, 28)
    right = torch.cat([values, values.new_zeros(batch, 3, 2)], 1)
    weights = torch.linalg.solve(left, right)
    basis = port_phi(port_cross_squared_distance(queries, points))
    query_linear = torch.cat([queries, torch.ones_like(queries[..., :1])], -1)
    return basis @ weights[:, :number] + query_linear @ weights[:, number:]


def port_cross_squared_distance(x: Tensor, y: Tensor) -> Tensor:
    squares = x.square().sum(-1)[:, :, None] + y.square().sum(-1)[:, None, :]
    return squares - 2 * x @ y.transpose(1, 2)


def port_phi(squared: Tensor) -> Tensor:
    return 0.5 * squared * squared.clamp_min(1e-10).log()


def port_bilinear(image: Tensor, queries: Tensor) -> Tensor:
    batch, height, width, channels = image.shape
    floor_y = queries[..., 0].detach().floor().clamp(0, height - 2)
    floor_x = queries[..., 1].detach().floor().clamp(0, width - 2)
    part_y = (queries[..., 0] - floor_y).clamp(0, 1)[..., None]
    part_x = (queries[..., 1] - floor_x).clamp(0, 1)[..., None]
    first = torch.arange(batch)[:, None, None] * height * width
    place = first + floor_y.long() * width + floor_x.long()
    flat = image.reshape(-1, channels)
    top_left, top_right = flat[place], flat[place + 1]
    bottom_left, bottom_right = flat[place + width], flat[place + width + 1]
    top = part_x * (top_right - top_left) + top_left
    bottom = part_x * (bottom_right - bottom_left) + bottom_left
    return part_y * (bottom - top) + top


def port(hidden: Tensor, memory: Tensor, displacement: Tensor) -> list[Tensor]:
    source = POINTS.to(displacement).expand_as(displacement)
    warped = (
        port_sparse_image_warp(state.permute(0, 2, 3, 1), source, source + displacement) for state in (hidden, memory)
    )
    return [each.permute(0, 3, 1, 2) for each in warped]


def twin(hidden: Tensor, memory: Tensor, displacement: Tensor) -> list[Tensor]:
    flow = reference.spline_flow(POINTS, displacement, SIDE, SIDE)
    return [reference.dense_warp(state, flow) for state in (hidden, memory)]


def ours(hidden: Tensor, memory: Tensor, displacement: Tensor) -> list[Tensor]:
    return spline_warp([hidden, memory], POINTS, displacement)


RIVALS: dict[str, Warp] = {"port of TensorFlow's op": port, "our plain twin": twin, "stvr.kernels.spline_warp": ours}


def made(batch: int, channels: int = CHANNELS, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """hidden and memory (channels last), displacement of one cell (standard deviation), two output gradients."""
    torch.manual_seed(0)
    maps = [torch.randn(batch, SIDE, SIDE, channels, dtype=dtype).permute(0, 3, 1, 2) for _ in range(4)]
    return [maps[0], maps[1], torch.randn(batch, 9, 2, dtype=dtype), maps[2], maps[3]]


def forward(warp: Warp, hidden: Tensor, memory: Tensor, displacement: Tensor, *_: Tensor) -> None:
    with torch.no_grad():
        warp(hidden, memory, displacement)


def both(warp: Warp, hidden: Tensor, memory: Tensor, displacement: Tensor, *slopes: Tensor) -> list[Tensor]:
    """Warped states and the gradients of all three inputs."""
    inputs = [part.detach().requires_grad_() for part in (hidden, memory, displacement)]
    warped = warp(*inputs)
    return [*warped, *torch.autograd.grad(warped, inputs, slopes)]


def errors(warp: Warp) -> tuple[float, float]:
    """Largest relative error, in norm, of answers and of gradients against the twin in float64; 64 channels."""
    inputs = made(8, 64)
    exact = both(twin, *(part.double() for part in inputs))
    found = [((a.double() - b).norm() / b.norm()).item() for a, b in zip(both(warp, *inputs), exact, strict=True)]
    return max(found[:2]), max(found[2:])


def milliseconds(task: Callable[..., object], batch: int, rounds: int) -> dict[str, list[float]]:
    """The times of every round; two rounds before them warm up."""
    inputs = made(batch)
    times: dict[str, list[float]] = {name: [] for name in RIVALS}
    for round_ in range(rounds + 2):
        for name, warp in RIVALS.items():
            start = perf_counter()
            task(warp, *inputs)
            if round_ >= 2:
                times[name].append(1e3 * (perf_counter() - start))
    return times


def quarters(values: list[float], digits: int) -> str:
    low, middle, high = quantiles(values, n=4)
    return f"{middle:.{digits}f} ({low:.{digits}f} ... {high:.{digits}f})"


def report(rounds: int) -> str:
    lines = ["| warp | error of the answer | of the gradients |", "|---|---|---|"]
    for name, warp in RIVALS.items():
        answer, gradients = errors(warp)
        if max(answer, gradients) > 2e-3:
            raise SystemExit(f"{name} is off by {max(answer, gradients):.1e}: nothing is timed before it is right.")
        lines.append(f"| {name} | {answer:.1e} | {gradients:.1e} |")
    lines += ["", "| batch | what | warp | ms | fastest | the port's time over it | fastest over fastest |"]
    lines.append("|---|---|---|---|---|---|---|")
    for batch in (1, 8):
        for what, task in (("forward", forward), ("forward and backward", both)):
            times = milliseconds(task, batch, rounds)
            base = times["port of TensorFlow's op"]
            for name, values in times.items():
                ratios = [slow / fast for slow, fast in zip(base, values, strict=True)]
                lines.append(f"| {batch} | {what} | {name} | {quarters(values, 2)} | {min(values):.2f} "
                             f"| {quarters(ratios, 1)} | {min(base) / min(values):.1f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--machine", default=processor())
    parser.add_argument("--note", default="", help="one line about what else ran on the machine")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "warp_cpu.md")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    text = f"""# The spline warp on a CPU

`python benchmarks/bench_warp_cpu.py --rounds {options.rounds} --threads {options.threads}`
on {options.machine}, torch {torch.__version__}. {options.note}

Hidden and memory of {CHANNELS} channels on {SIDE} x {SIDE} cells, float32, channels last, nine points that move by one
cell (standard deviation). Median of the rounds, in brackets the quarter and three-quarter points; ratios are taken
within a round. Errors are relative, in norm, against the plain twin in float64, on 64 channels.

{report(options.rounds)}
"""
    options.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
