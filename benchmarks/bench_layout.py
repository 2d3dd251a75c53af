"""Size and speed of feature maps on disk for each layout, codec and code, on features of real videos.

    OMP_NUM_THREADS=1 python benchmarks/bench_layout.py STORE [--clips 64] [--rounds 5]

STORE: a lossless store of `stvr extract` at the image size of interest. Prints a table in Markdown. In every round each
layout is written and read once, in turn; figures are medians of core seconds, which count all threads of this process.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec, ZstdCodec

from stvr.machine import processor
from stvr.store import FeatureStore
from stvr.store.codes import decode, encode
from stvr.structures import Span

SHARD, SPAN = 64, 6  # clips


@dataclass(frozen=True, slots=True)
class Layout:
    """How maps are kept. chunk: clips in a chunk."""

    chunk: int
    codec: str
    code: str


CODECS: dict[str, Any] = {
    "none": None,
    "zstd-1": ZstdCodec(level=1, checksum=True),
    "zstd-3": ZstdCodec(level=3, checksum=True),
    "blosc zstd-1, shuffle": BloscCodec(cname="zstd", clevel=1, shuffle="shuffle"),
    "blosc zstd-1, bitshuffle": BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle"),
    "blosc lz4": BloscCodec(cname="lz4", clevel=5, shuffle="noshuffle"),
}
LAYOUTS = [
    *(Layout(1, codec, "lossless") for codec in CODECS),
    Layout(2, "zstd-1", "lossless"),
    *(Layout(1, codec, code) for code in ("bits7", "int8") for codec in ("zstd-1", "zstd-3")),
    Layout(1, "blosc zstd-1, shuffle", "bits7"),
]


def real_maps(store: FeatureStore, count: int) -> np.ndarray:
    """The first `count` clips of the videos in the order of their names."""
    return np.concatenate(list(_first(store, count)))[:count]


def _first(store: FeatureStore, count: int) -> Iterator[np.ndarray]:
    for video in store.videos():
        if count > 0:
            yield store.read(Span(video, 0, store.num_clips(video))).numpy()
            count -= store.num_clips(video)


def write(folder: Path, layout: Layout, maps: np.ndarray) -> zarr.Group:
    group = zarr.create_group(folder)
    for name, values in encode(maps, layout.code).items():
        chunk = layout.chunk if name == "" else SHARD
        group.create_array(
            name or "maps", data=values, chunks=(chunk, *values.shape[1:]), shards=(SHARD, *values.shape[1:]),
            compressors=CODECS[layout.codec], filters=None,
        )  # fmt: skip
    return group


def read(group: zarr.Group, layout: Layout, start: int, stop: int) -> np.ndarray:
    names = ["", "levels"] if layout.code == "int8" else [""]
    return decode({name: np.asarray(group[name or "maps"][start:stop]) for name in names}, layout.code)


def measure(folder: Path, layout: Layout, maps: np.ndarray) -> dict[str, float]:
    shutil.rmtree(folder, ignore_errors=True)
    start_write = process_time()
    write(folder, layout, maps)
    end_write = process_time()
    group = zarr.open_group(folder, mode="r")
    starts = np.random.default_rng(0).integers(0, len(maps) - SPAN, 10)
    start_spans = process_time()
    for start in starts:
        read(group, layout, start, start + SPAN)
    start_scan = process_time()
    stored = read(group, layout, 0, len(maps))
    end_scan = process_time()
    error = float(np.linalg.norm((stored.astype(np.float32) - maps).ravel()) / np.linalg.norm(maps.astype(np.float32)))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {"bytes": size, "write": end_write - start_write, "span": (start_scan - start_spans) / len(starts),
            "scan": end_scan - start_scan, "error": error}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--clips", type=int, default=SHARD)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    maps = real_maps(FeatureStore.open(options.store), options.clips)
    megabytes = maps.nbytes / 1e6
    found: dict[Layout, list[dict[str, float]]] = {layout: [] for layout in LAYOUTS}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.rounds + 1):
            for layout, figures in found.items():
                if figures_now := measure(Path(folder) / "maps", layout, maps):
                    figures += [figures_now] if number else []  # the first warms up
    print(f"{processor()}; {len(maps)} clips {maps.shape[1:]} float16, {np.mean(maps == 0):.0%} zeros, "
          f"{options.rounds} rounds.\n\n| code | clips a chunk | codec | smaller by | write, MB / core s | "
          f"{SPAN} clips, core ms | scan, MB / core s | relative error |\n|---|---|---|---|---|---|---|---|")
    for layout, figures in found.items():
        middle = {name: median(each[name] for each in figures) for name in figures[0]}
        print(f"| {layout.code} | {layout.chunk} | {layout.codec} | {maps.nbytes / middle['bytes']:.2f} x | "
              f"{megabytes / middle['write']:.0f} | {middle['span'] * 1000:.1f} | {megabytes / middle['scan']:.0f} | "
              f"{middle['error']:.1e} |")


if __name__ == "__main__":
    main()
