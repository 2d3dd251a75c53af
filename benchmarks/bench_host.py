"""What the host does for a GPU in stage one: core seconds a clip of every part, and clips a second a core altogether.

Run: python benchmarks/bench_host.py [--rounds 5] [--videos FILE ...] [--weights NAME|FILE] [--out FILE.md]

The network is left out: a stand-in gives back maps that I3D made of the first clips, at once. So the last rows are what
decoding, conversion, compression and the store sustain a core; with the way through shared memory, that times the cores
of a machine is what can be brought to its GPU. Core seconds count all threads of this one process.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median

import av
import numpy as np
import torch
from bench_extract import write_videos

from stvr.backbones import load_backbone
from stvr.extract.extractor import digest_of
from stvr.extract.job import extract
from stvr.extract.maps import Backbone, maps_by_endpoint
from stvr.machine import processor
from stvr.shared_memory import SharedMemory
from stvr.specs import ClipSpec, MapSpec
from stvr.store import FeatureStore
from stvr.video.decode import decode_clips

COMPRESS = ("lossless", "bits7", "int8")
GOAL, CORES = 1000, 16  # clips a second a device, and the cores of the machine it stands in
BATCH = 8


class StandIn:
    """A backbone that gives the same maps for every batch, without a sum."""

    precision = "float32"

    def __init__(self, maps: torch.Tensor, like: Backbone, clip: ClipSpec) -> None:
        self.name, self.weights, self.weights_digest, self.endpoint = "stand_in", "none", "00", "Mixed_4c"
        self.maps_made, self.specs = maps, like.map_specs(clip)

    def map_specs(self, clip: ClipSpec) -> tuple[MapSpec, ...]:
        return self.specs

    def __call__(self, frames: torch.Tensor) -> torch.Tensor:
        return self.maps_made[torch.arange(len(frames)) % len(self.maps_made)]


def first_clips(videos: list[Path], clip: ClipSpec, count: int) -> torch.Tensor:
    frames = [frames for path in videos for _, frames, _ in islice(decode_clips(path, clip), count)]
    return torch.from_numpy(np.stack(frames))


def decode(videos: list[Path]) -> None:
    for path in videos:
        with av.open(str(path)) as container:
            for _ in container.decode(container.streams.video[0]):
                pass


def convert(videos: list[Path], clip: ClipSpec) -> None:
    for path in videos:
        for _ in decode_clips(path, clip):
            pass


def through_memory(memory: torch.Tensor, frames: torch.Tensor, stored: torch.Tensor, clips: int) -> None:
    """As a worker does it: its clips in, the maps out and copied."""
    for _ in range(-(-clips // BATCH)):
        memory[: frames.numel()].copy_(frames.reshape(-1))
        memory[: stored.numel() * 2].view(torch.float16).view(stored.shape).clone()


def write(folder: Path, extracted: FeatureStore, stored: torch.Tensor, clips: int, compress: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    store = FeatureStore.create(folder, replace(extracted.spec, compress=compress))
    ticks = np.zeros((len(stored), extracted.spec.clip.frames_per_clip), np.int64)
    with store.write("video", clips, {"Mixed_4c": tuple(stored.shape[1:])}, {}) as writer:
        for start in range(0, clips, len(stored)):
            writer.append({"Mixed_4c": stored[: clips - start]}, ticks[: clips - start])
        writer.complete()


def core_seconds(part: Callable[[], object]) -> float:
    before = time.process_time()
    part()
    return time.process_time() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--videos", type=Path, nargs="+", help="Without, three of 640 x 480 are written.")
    parser.add_argument("--weights", help="Of the features that are written, as of `stvr extract`.")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    clip = ClipSpec()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "videos").mkdir()
        videos = chosen.videos or write_videos(folder / "videos", 10)
        backbone = load_backbone(weights=chosen.weights)
        frames = first_clips(videos, clip, BATCH)[:BATCH]
        stand_in = StandIn(backbone(frames).float(), backbone, clip)
        stored = maps_by_endpoint(stand_in, frames)["Mixed_4c"].contiguous()
        memory = SharedMemory(frames.numel()).bytes

        def whole(compress: str) -> FeatureStore:
            shutil.rmtree(folder / "store", ignore_errors=True)
            extract(videos, folder / "store", stand_in, clip, batch_size=BATCH, compress=compress,
                    report=lambda step: None)  # fmt: skip
            return FeatureStore.open(folder / "store")

        store = whole("lossless")
        clips = sum(store.num_clips(video) for video in store.videos())
        parts: dict[str, Callable[[], object]] = {
            "digest of the file": lambda: [digest_of(path) for path in videos],
            "decode": partial(decode, videos),
            "decode, colour, resize": partial(convert, videos, clip),
            "through shared memory": partial(through_memory, memory, frames, stored, clips),
            **{f"compress and write, {kind}": partial(write, folder / "written", store, stored, clips, kind)
               for kind in COMPRESS},
            **{f"**`stvr extract` without its network**, {kind}": partial(whole, kind) for kind in COMPRESS},
        }  # fmt: skip
        with av.open(str(videos[0])) as container:
            size = f"{container.streams.video[0].width} x {container.streams.video[0].height}"
        seconds = {part: median(core_seconds(run) for _ in range(chosen.rounds)) for part, run in parts.items()}
    seconds["colour, resize"] = seconds.pop("decode, colour, resize") - seconds["decode"]
    lines = [
        "# What the host does for a GPU", "",
        f"`python benchmarks/bench_host.py --rounds {chosen.rounds}`: {processor()}, torch {torch.__version__}, "
        f"{len(videos)} videos of {size}, {clips} clips, to 320 x 320 at Mixed_4c.", "",
        f"| | core ms / clip | clips / s a core | {CORES} cores, of {GOAL} clips / s |", "|---|---|---|---|",
    ]  # fmt: skip
    for part, each in sorted(seconds.items(), key=lambda item: item[0].startswith("**")):
        rate = clips / each if each > 1e-4 else float("inf")
        lines.append(f"| {part} | {1e3 * each / clips:.1f} | {rate:,.0f} | {CORES * rate / GOAL:.2f} |")
    print("\n".join(lines))
    if chosen.out:
        chosen.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
