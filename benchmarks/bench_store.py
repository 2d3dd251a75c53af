"""Times a store of many videos: to open it, to list it, to list it with the clips of each, and to read from it.

Usage: python benchmarks/bench_store.py [--videos 10000] [--unmarked]
Fails when opening takes a second or listing takes two. The videos are copies of one with tiny clips.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from stvr.store import FeatureSpec, FeatureStore
from stvr.structures import ClipSpec, MapSpec, Span

OPEN_SECONDS, LIST_SECONDS = 1.0, 2.0
SHAPE = (2, 2, 2, 8)  # row, column, time, channel
IN_A_NEW_PROCESS = """
import sys, time
from stvr.store import FeatureStore
start = time.perf_counter()
store = FeatureStore.open(sys.argv[1])
opened = time.perf_counter()
videos = store.videos()
listed = time.perf_counter()
clips = sum(map(store.num_clips, videos))
counted = time.perf_counter()
print(len(videos), clips, opened - start, listed - opened, counted - listed)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=10_000)
    parser.add_argument("--unmarked", action="store_true", help="without the marks of complete videos, as older stores")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store"
        start = time.perf_counter()
        write_many(path, options.videos)
        if options.unmarked:
            for mark in (path / ".complete").iterdir():
                mark.unlink()
        print(f"{options.videos} videos written in {time.perf_counter() - start:.1f} s")
        rows = [measure(path) for _ in range(3)]
        opened, listed, counted = (min(column) for column in zip(*rows, strict=True))
        start = time.perf_counter()
        FeatureStore.open(path).read(Span(f"video{options.videos - 1:06}", 0, 2))
        read = time.perf_counter() - start
    print(f"opened in {opened:.3f} s, listed in {listed:.3f} s, all clips counted in another {counted:.3f} s; "
          f"opened and two clips of one video read in {read:.3f} s (best of {len(rows)} processes)")  # fmt: skip
    return int(opened >= OPEN_SECONDS or listed >= LIST_SECONDS)


def measure(path: Path) -> tuple[float, float, float]:
    """Seconds to open, to list and to count, in a process that has never seen the store."""
    output = subprocess.run(
        [sys.executable, "-c", IN_A_NEW_PROCESS, str(path)], check=True, capture_output=True, text=True
    ).stdout  # fmt: skip
    _, _, opened, listed, counted = map(float, output.split())
    return opened, listed, counted


def write_many(path: Path, num_videos: int) -> None:
    """One video through the writer; its files are linked for the others."""
    spec = FeatureSpec("bench", "none", "00", (MapSpec("none", 32, 1, 1),), ClipSpec(image_size=32))
    store = FeatureStore.create(path, spec)
    with store.write("video000000", 2, SHAPE, {"digest": "0", "source": "0.mp4"}) as writer:
        writer.append(np.ones((2, *SHAPE), np.float16), np.zeros((2, 8), np.int64))
        writer.complete(decode_errors=0)
    first = path / "video000000"
    files = [file.relative_to(first) for file in first.rglob("*") if file.is_file()]
    for number in range(1, num_videos):
        video = path / f"video{number:06}"
        for file in files:
            (video / file).parent.mkdir(parents=True, exist_ok=True)
            os.link(first / file, video / file)
        (path / ".complete" / video.name).touch()


if __name__ == "__main__":
    sys.exit(main())
