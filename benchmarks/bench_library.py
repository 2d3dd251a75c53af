"""A library: what an index finds in real clips by composition; a thousand hours of made-up rows, built and searched.

    python benchmarks/bench_library.py MANIFEST --store STORE --work FOLDER [--hours 1000] [--out FILE.md]

MANIFEST and STORE as for bench_real.py, which extracts them: its store is FOLDER/video. The thousand hours are files of
described videos, an hour each, of vectors around 500 middles; they are gathered and searched as those of real videos.
Those that an earlier run wrote are taken as they are. It needs 20 GB of disk and 10 GB of memory.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from library_recall import recall
from real_tables import table

from stvr.heads.standardise import Standardise
from stvr.library import Index
from stvr.library.composition import Composition
from stvr.library.described import Described, write_described
from stvr.library.described_videos import file_of
from stvr.library.gathering import gather
from stvr.machine import processor
from stvr.structures import ClipSpec, FeatureSpec, MapSpec

WIDTH, ROWS_AN_HOUR, MIDDLES = 1024, 3600, 500  # numbers of a row: channels of Mixed_5c
SPEC = FeatureSpec("made", "made", "sha256:00", (MapSpec("Mixed_5c", 32, 1, WIDTH),), ClipSpec())
QUERIES, BEST = 20, 32
COLUMNS = ("what", "described", "gathered", "with nnn", "searched", "opened", "first query",
           "a query: median (least to most)", "found")  # fmt: skip


def main() -> None:
    chosen = arguments()
    found, sizes = recall(chosen.manifest, chosen.store, chosen.work / "real") if chosen.manifest else ([], [])
    lines = [thousand_hours(chosen.work / "made", chosen.hours)]
    lines += with_faiss(chosen.work / "small", min(chosen.hours, 100))
    text = page(chosen.hours, table(found) if found else "", sizes, lines)
    print(text)
    if chosen.out:
        chosen.out.write_text(text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path, nargs="?")
    parser.add_argument("--store", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--hours", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def thousand_hours(folder: Path, hours: int) -> str:
    """A line of the table; the index is deleted again."""
    write_hours(folder, hours)
    plain = timed(lambda: gathered(folder, "tubes,flat"))
    marked = timed(lambda: gathered(folder, "tubes,nnn,flat"))
    index = Index.open(folder)
    opened, seconds = timed(lambda: Index.open(folder)), search_times(index)
    searched, kept = size_of(folder / index.notes["rows"]), size_of(folder / "videos")
    line = (f"| {hours} h, {len(index):,} rows, exact | {kept / 1e9:.2f} GB | {plain:.0f} s | "
            f"{marked:.0f} s | {searched / 1e9:.2f} GB | {1000 * opened:.0f} ms | {seconds[0]:.2f} s | "
            f"**{np.median(seconds[1:]):.2f} s** ({min(seconds[1:]):.2f} to {max(seconds[1:]):.2f}) | 1 |")
    shutil.rmtree(folder)
    return line


def with_faiss(folder: Path, hours: int) -> list[str]:
    """The same rows searched exactly and by faiss."""
    write_hours(folder, hours)
    lines, answers = [], {}
    for backend in ("flat", "faiss"):
        seconds = timed(lambda name=backend: gathered(folder, f"tubes,nnn,{name}"))
        index = Index.open(folder)
        times = search_times(index)
        answers[backend] = [set(index.best(vector, BEST)[0].tolist()) for vector in vectors_to_ask()]
        pairs = zip(answers["flat"], answers[backend], strict=True)
        shared = np.mean([len(one & other) / BEST for one, other in pairs])
        lines.append(f"| {hours} h, {len(index):,} rows, {'exact' if backend == 'flat' else backend} | | | "
                     f"{seconds:.0f} s | {size_of(folder / index.notes['rows']) / 1e9:.2f} GB | | {times[0]:.3f} s | "
                     f"{np.median(times[1:]):.3f} s ({min(times[1:]):.3f} to {max(times[1:]):.3f}) | {shared:.2f} |")
    shutil.rmtree(folder)
    return lines


def write_hours(folder: Path, hours: int) -> None:
    """One video an hour; one that is there is left."""
    middles = np.random.default_rng(0).standard_normal((MIDDLES, WIDTH), np.float32)
    for hour in range(hours):
        name = f"hour{hour:05}"
        if not file_of(folder, name).is_file():
            write_described(file_of(folder, name), one_hour(name, hour, middles))
        if hour % 100 == 99:
            print(f"{hour + 1} h written", file=sys.stderr, flush=True)


def one_hour(name: str, seed: int, middles: np.ndarray) -> Described:
    rng = np.random.default_rng(seed)
    vectors = middles[rng.integers(MIDDLES, size=ROWS_AN_HOUR)]
    vectors += rng.standard_normal((ROWS_AN_HOUR, WIDTH), np.float32)
    start = 3 * np.arange(ROWS_AN_HOUR, dtype=np.int32)
    box = np.tile(np.array([0.25, 0.25, 0.75, 0.75], np.float32), (ROWS_AN_HOUR, 1))
    notes = {"name": name, "path": "", "digest": "", "seconds": 3600.0, "offset_seconds": 0.0, "width": 320,
             "height": 240, "num_clips": 10800, "num_rows": ROWS_AN_HOUR, "still_clips": 0, "blank_clips": 0,
             "doubt": "", "made_by": ""}  # fmt: skip
    return Described(start, start + 6, box, np.ones(ROWS_AN_HOUR, np.uint8), vectors.astype(np.float16), notes)


def gathered(folder: Path, composition: str) -> None:
    gather(folder, SPEC.to_json(), "none.zarr", Composition.of(composition), Standardise(SPEC.map))


def vectors_to_ask() -> list[torch.Tensor]:
    middles = torch.from_numpy(np.random.default_rng(0).standard_normal((MIDDLES, WIDTH), np.float32))
    noise = torch.from_numpy(np.random.default_rng(1).standard_normal((QUERIES, WIDTH), np.float32))
    return list(torch.nn.functional.normalize(middles[:QUERIES] + 0.3 * noise, dim=1))


def search_times(index: Index) -> list[float]:
    """Seconds of each query: scores of all rows, and the best of them."""
    return [timed(lambda each=vector: index.best(each, BEST)) for vector in vectors_to_ask()]


def timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def page(hours: int, found: str, sizes: list[str], lines: list[str]) -> str:
    newline = "\n"
    return f"""# A library

`python benchmarks/bench_library.py`; {processor()}, torch {torch.__version__}. The machine was shared with other work.

## A search in {hours:,} hours

Made-up rows of {WIDTH} numbers, {ROWS_AN_HOUR:,} an hour (real clips give one tube a second), one video an hour. A row
is kept twice: as it was described, and composed, in float16, memory-mapped for the search. A search is the scores of
all rows in float32 and the best {BEST} of them, {QUERIES} queries one after the other; the first finds the rows as the
build left them in memory. The last column: how many of the exact search's rows are among them.

| {" | ".join(COLUMNS)} |
|{"---|" * len(COLUMNS)}
{newline.join(lines)}

## What is found, by composition

Real clips, as in [real_cpu.md](real_cpu.md): a second in the middle of the longest true tubelet asks all videos of
other groups, and nothing is known of them: no boxes, no times. A video is worth its best row. In brackets the middle
95 % of 2,000 draws of the queries. The share of `nnn` and the length of windows were chosen on these clips.

{found}
| composition | rows | a second | an hour |
|---|---|---|---|
{newline.join(sizes)}
"""


if __name__ == "__main__":
    main()
