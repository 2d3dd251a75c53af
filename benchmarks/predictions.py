"""What a row should cost on a GPU, from bytes and arithmetic that it cannot avoid; printed beside what is measured.

    python benchmarks/predictions.py [--write]

Prints the tables of results/kernels_predictions.md for every chip below; --write puts them there.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LAUNCH = 2.5e-6  # seconds from one kernel to the next that waits for it, in a CUDA graph
MEMORY_SHARE, MATRIX_SHARE = 0.8, 0.6  # of copy and matrix product that a good kernel reaches
SPLINE = 6e-6  # seconds of a chain of dependent arithmetic: the spline's system in the registers of one program
CELLS = 400  # of a map, 20 x 20
RECORD = Path(__file__).parent / "results" / "kernels_predictions.md"
BEGIN, END = "<!-- begin: python benchmarks/predictions.py --write -->", "<!-- end -->"


@dataclass(frozen=True, slots=True)
class Chip:
    """Copy rate in bytes a second (read and written), dense products in FLOP a second, bytes of L2."""

    copy: float
    bfloat16: float
    float32: float  # as TF32
    cache: float


CHIPS = {
    "H100": Chip(3.0e12, 7.9e14, 3.9e14, 50e6),
    "H200": Chip(4.3e12, 7.9e14, 3.9e14, 60e6),
}


@dataclass(frozen=True, slots=True)
class Work:
    """bytes: that must be read or written as designed, once each. flop: on the matrix units, 2 for each multiply-add.

    launches: kernels that wait for one another. chain: seconds of arithmetic that no width shortens.
    """

    bytes: float = 0.0
    flop: float = 0.0
    launches: int = 1
    chain: float = 0.0


def floor_seconds(work: Work, chip: Chip, *, wide: bool = False) -> float:
    """What memory and matrix units need at the least. wide: float32 products."""
    return max(work.bytes / chip.copy, work.flop / (chip.float32 if wide else chip.bfloat16))


def predicted_seconds(work: Work, chip: Chip, *, wide: bool = False) -> float:
    """The floor at the shares that good kernels reach, the launches and the chains."""
    moved = work.bytes / (MEMORY_SHARE * chip.copy)
    computed = work.flop / (MATRIX_SHARE * (chip.float32 if wide else chip.bfloat16))
    return max(moved, computed) + work.launches * LAUNCH + work.chain


def chip_of(name: str) -> Chip | None:
    """The chip in a device's name, as in "NVIDIA H100 80GB HBM3"; None for one that is not in the table."""
    return next((chip for known, chip in CHIPS.items() if known in name), None)


# In maps (B, C, H, W) of the states' type: what each kernel reads and writes as designed.
MAPS = {
    "warp_forward": 4.0, "spline_warp_forward": 4.0, "warp_backward_flow": 4.0, "warp_backward_states": 5.8,
    "gate_tiles": 4.0, "memory_forward": 5.0, "hidden_forward": 5.0, "hidden_backward": 5.5, "memory_backward": 6.8,
    "gates_backward": 13.0,
}  # fmt: skip
CHAINED = {"spline_forward": SPLINE, "spline_warp_forward": SPLINE, "spline_backward": SPLINE}
OPERATIONS = {  # the kernels of an operation: forward, and what the backward adds
    "spline warp of two maps": (
        ("spline_warp_forward",), ("warp_backward_states", "warp_backward_flow", "spline_backward")
    ),
    "gates and norms": (
        ("gate_tiles", "memory_forward", "hidden_forward"), ("hidden_backward", "memory_backward", "gates_backward")
    ),
}  # fmt: skip


def map_bytes(batch: int, channels: int, itemsize: int) -> int:
    return batch * channels * CELLS * itemsize


def kernel_work(name: str, batch: int, channels: int, itemsize: int) -> Work:
    return Work(MAPS.get(name, 0.0) * map_bytes(batch, channels, itemsize), chain=CHAINED.get(name, 0.0))


def operation_work(name: str, batch: int, channels: int, itemsize: int, *, backward: bool) -> Work | None:
    """None for an operation that has no entry in OPERATIONS."""
    if name not in OPERATIONS:
        return None
    forward, more = OPERATIONS[name]
    return together(kernel_work(each, batch, channels, itemsize) for each in (*forward, *(more if backward else ())))


def together(works: Iterator[Work]) -> Work:
    parts = list(works)
    return Work(
        sum(part.bytes for part in parts), sum(part.flop for part in parts), sum(part.launches for part in parts),
        sum(part.chain for part in parts),
    )  # fmt: skip


def recurrent_work(batch: int, channels: int, itemsize: int, clips: int, *, backward: bool) -> Work:
    """The Warp LSTM's cell over some clips: warp, gates, depthwise 3 x 3 and the two products of the bottleneck."""
    unit, cells = map_bytes(batch, channels, itemsize), batch * CELLS
    bottleneck = min(128, channels)
    products = 2 * cells * (2 * channels * bottleneck + bottleneck * 4 * channels)
    own = Work((2 + 2 + 4) * unit, products, 4)  # depthwise reads and writes; a product reads one and writes four
    step = [own]
    for name in OPERATIONS:
        work = operation_work(name, batch, channels, itemsize, backward=backward)
        assert work is not None
        step.append(work)
    if backward:
        step.append(Work(2 * own.bytes, 2 * own.flop, 8))
    return together(iter(step * clips))


def i3d_work(clips: int, side: int = 320) -> Work:
    """To Mixed_4c: counted FLOP, and each layer's output written and read once in bfloat16."""
    share = clips * (side / 320) ** 2
    return Work(97e6 * share, 48.95e9 * share, 40)


def crop_work(maps: int, boxes: int, channels: int, itemsize: int, *, backward: bool) -> Work:
    """Maps and regions of 7 x 7 once each, and a byte a number for the way back; taps that overlap come from caches."""
    moved = (maps * CELLS + maps * boxes * 49) * channels * itemsize
    return Work(2 * moved + 2 * maps * boxes * 49 * channels, launches=2) if backward else Work(moved)


def step_work(batch: int, clips: int, channels: int = 1024) -> Work:
    """A training step on cached features: proposal network and second stage on 16 regions a clip, there and back."""
    share = batch * clips / 48 * (channels / 1024) ** 2
    recurrent = recurrent_work(batch, channels, 2, clips, backward=True)
    return together(iter([recurrent, Work(0.0, 3.91e12 * share, 1500)]))


def rows() -> Iterator[tuple[str, Work]]:
    """At the paper's size: 8 items, 1024 channels, bfloat16."""
    size = (8, 1024, 2)
    for name in ("spline_forward", "warp_forward", "spline_warp_forward", "warp_backward_flow", "warp_backward_states",
                 "spline_backward", "gate_tiles", "memory_forward", "hidden_forward", "hidden_backward",
                 "memory_backward", "gates_backward"):  # fmt: skip
        yield f"kernel `{name}`", kernel_work(name, *size)
    for name in OPERATIONS:
        for backward in (False, True):
            work = operation_work(name, *size, backward=backward)
            assert work is not None
            yield f"{name}, {'forward and backward' if backward else 'forward'}", work
    for clips in (1, 6):
        for backward in (False, True):
            what = "step" if clips == 1 else f"loop of {clips} clips"
            yield (f"recurrent {what}, {'forward and backward' if backward else 'forward'}, in a graph",
                   recurrent_work(*size, clips, backward=backward))  # fmt: skip
    for backward in (False, True):
        yield (f"crop and maximum of 48 maps, 16 boxes each, {'forward and backward' if backward else 'forward'}",
               crop_work(48, 16, 1024, 2, backward=backward))  # fmt: skip
    yield "training step on cached features, 8 x 6 clips", step_work(8, 6)
    for clips in (8, 16, 32):
        yield f"I3D to Mixed_4c, {clips} clips", i3d_work(clips)


def table() -> Iterator[str]:
    yield "| 8 x 1024 x 20 x 20, bfloat16 | MB | GFLOP | launches | " + " | ".join(
        f"{name}: floor, us | {name}: predicted, us" for name in CHIPS
    ) + " |"
    yield "|---|---|---|---|" + "---|---|" * len(CHIPS)
    for name, work in rows():
        cells = [name, f"{work.bytes / 1e6:.0f}", f"{work.flop / 1e9:.1f}", str(work.launches)]
        for chip in CHIPS.values():
            cells += [f"{1e6 * floor_seconds(work, chip):,.1f}", f"{1e6 * predicted_seconds(work, chip):,.0f}"]
        yield f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    lines = "\n".join(table())
    print(lines)
    if parser.parse_args().write:
        text = RECORD.read_text(encoding="utf-8")
        before, after = text.split(BEGIN)[0], text.split(END)[1]
        RECORD.write_text(f"{before}{BEGIN}\n\n{lines}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
