"""Extracts good and damaged files in one run: every good file must be in the store, every bad one needs a reason.

Usage: python scripts/check_damaged.py [--damaged 200] [--good 10] [--workers 1]
Prints what became of each kind, how many seconds of cut files are there, and how much memory the run took after its
first quarter. A cut file that is extracted though clips are missing must be doubtful, in every container.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import torch
from check_memory import MeanColours, resident_mb

from stvr.extract.job import ExtractReport, extract
from stvr.extract.pace import Step
from stvr.store import FeatureStore, check_all
from stvr.structures import ClipSpec

ALLOWED_MB = 100
CLIP = ClipSpec(image_size=64)
SECONDS, RATE = 2, 24
CODECS = {".mp4": "libx264", ".mkv": "libx264", ".avi": "mpeg4", ".ts": "mpeg2video", ".webm": "libvpx"}
OPTIONS = {".mp4": {"movflags": "faststart"}}  # in front, or a cut file cannot be read


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--damaged", type=int, default=200)
    parser.add_argument("--good", type=int, default=10)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    start, resident = time.monotonic(), list[float]()
    with tempfile.TemporaryDirectory() as folder:
        good, damaged = write_files(Path(folder), options.good, options.damaged)
        report, store = extract_all(good + damaged, Path(folder) / "store", options.workers, resident)
        faults = check_all(store).faults
        for kind, (count, extracted) in sorted(tally(damaged, report).items()):
            print(f"{kind}: {count} files, {extracted} extracted, {count - extracted} given up with a reason")
        cut = [path for path in damaged if path.stem.startswith(truncated.__name__) and path.stem in report.done]
        for suffix in CODECS:
            print("\n".join(lines_of([path for path in cut if path.suffix == suffix], report, store)))
        unnamed = [path.name for path in cut if is_missing_clips(path, store) and path.stem not in report.doubtful]
    growth = max(resident) - resident[len(resident) // 4]
    missing = [path.name for path in good if path.stem not in report.done]
    print(f"{len(good) - len(missing)} of {len(good)} good files extracted; of {len(damaged)} damaged ones "
          f"{len(report.failed)} given up and {len(report.doubtful)} doubtful, in {time.monotonic() - start:.0f} s; "
          f"{len(faults)} faults in the store; {growth:.0f} MB more after the first quarter (allowed: {ALLOWED_MB})")
    if unnamed:
        print(f"cut, but not said to be: {', '.join(unnamed)}")
    wrong = [missing, unnamed, faults, growth >= ALLOWED_MB, not all(report.failed.values())]
    return int(any(wrong))


def write_files(folder: Path, num_good: int, num_damaged: int) -> tuple[list[Path], list[Path]]:
    """Good files of several formats, and damaged ones made from them, named after the damage."""
    chance = random.Random(0)
    good = [write_video(folder / f"good{number}{list(CODECS)[number % len(CODECS)]}", number)
            for number in range(num_good)]  # fmt: skip
    damaged = []
    for number in range(num_damaged):
        kind, source = list(DAMAGE)[number % len(DAMAGE)], good[number // len(DAMAGE) % num_good]
        path = folder / f"{kind}{number}{'.mp4' if kind in ('text', 'sound', 'index') else source.suffix}"
        DAMAGE[kind](source if kind != "index" else good[0], path, chance)
        damaged.append(path)
    return good, damaged


def extract_all(
    paths: list[Path], store: Path, workers: int, resident: list[float]
) -> tuple[ExtractReport, FeatureStore]:
    """Extracts all files. `resident` collects the megabytes of this process after every batch."""

    def watch(step: Step) -> None:
        resident.append(resident_mb())

    report = extract(paths, store, MeanColours(), CLIP, report=watch, workers=workers, timeout=30)
    return report, FeatureStore.open(store)


def tally(damaged: list[Path], report: ExtractReport) -> dict[str, tuple[int, int]]:
    """kind -> (files, extracted)."""
    kinds = {path: path.stem.rstrip("0123456789") for path in damaged}
    counts = Counter(kinds.values())
    extracted = Counter(kinds[path] for path in damaged if path.stem in report.done)
    return {kind: (counts[kind], extracted[kind]) for kind in counts}


def lines_of(cut: list[Path], report: ExtractReport, store: FeatureStore) -> list[str]:
    """Of each cut file how many of its seconds are there, as it was written, and what was said of it."""
    return [f"  {path.name}: {store.info(path.stem)['duration_seconds']:.2f} of {SECONDS} seconds; "
            f"said: {report.doubtful.get(path.stem, 'nothing')}" for path in cut]


def is_missing_clips(path: Path, store: FeatureStore) -> bool:
    return store.num_clips(path.stem) < SECONDS * CLIP.clips_per_second


def write_video(path: Path, number: int) -> Path:
    """Two seconds of moving squares."""
    squares = np.random.default_rng(number).integers(0, 255, (8, 8, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    with av.open(str(path), "w", options=OPTIONS.get(path.suffix, {})) as container:
        stream = container.add_stream(CODECS[path.suffix], rate=RATE)
        stream.width = stream.height = 128
        stream.pix_fmt = "yuv420p"
        for shift in range(SECONDS * RATE):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(squares, 2 * shift, 1))))
        container.mux(stream.encode(None))
    return path


def truncated(source: Path, path: Path, chance: random.Random) -> None:
    content = source.read_bytes()
    path.write_bytes(content[: chance.randrange(1, len(content))])


def flipped(source: Path, path: Path, chance: random.Random) -> None:
    content = bytearray(source.read_bytes())
    for _ in range(chance.choice([1, 10, 100, 1000])):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def zeroed(source: Path, path: Path, chance: random.Random) -> None:
    """A hole of zeros, as file systems leave after a crash."""
    content = bytearray(source.read_bytes())
    start = chance.randrange(len(content))
    stop = chance.randrange(start, len(content)) + 1
    content[start:stop] = bytes(stop - start)
    path.write_bytes(content)


def empty(source: Path, path: Path, chance: random.Random) -> None:
    path.write_bytes(b"" if chance.random() < 0.5 else bytes(chance.randrange(1, 5000)))


def text(source: Path, path: Path, chance: random.Random) -> None:
    path.write_text("This is not a video, whatever its name says.\n" * chance.randrange(1, 100))


def sound(source: Path, path: Path, chance: random.Random) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        for _ in range(20):
            samples = np.random.default_rng(0).normal(0, 0.1, (1, 1024)).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
            frame.rate = 16000
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def index(source: Path, path: Path, chance: random.Random) -> None:
    """Breaks the table of an mp4 that says where the samples lie, or how large they are."""
    content = bytearray(source.read_bytes())
    place = content.index(chance.choice([b"stco", b"stsz", b"stsc", b"stts"])) + 8
    for _ in range(chance.randrange(1, 20)):
        content[place + chance.randrange(60)] = chance.randrange(256)
    path.write_bytes(content)


DAMAGE: dict[str, Callable[[Path, Path, random.Random], None]] = {
    each.__name__: each for each in (truncated, flipped, zeroed, empty, text, sound, index)
}
ALWAYS_BAD = ("empty", "text", "sound")


if __name__ == "__main__":
    sys.exit(main())
