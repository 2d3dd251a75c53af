"""Clips a second of `stvr extract` beside a plain script and an earlier commit, part by part, and where the time goes.

    python benchmarks/bench_extract.py [--rounds 5] [--videos FILE ...] [--parts whole steps profile] [--former COMMIT]

Weights are analytic, whatever has been fetched. Prints tables in Markdown. In every round everything runs once, in
turn, so that a busy machine slows all alike; figures are medians over the rounds, ratios are medians of the ratios
within a round. The first round is not counted. Core seconds are those of all threads of a process, whatever else the
machine was busy with. With ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 before it, it is held to AVX2.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import NamedTuple

import av
import numpy as np
import torch
from extract_clips import ahead, our_clips, plain_clips, write_videos
from former import Former, former
from numcodecs.zstd import Zstd
from plain_extract import build_network, extract_features
from plain_extract import main as plain_main

from stvr.backbones import load_backbone
from stvr.backbones.i3d import scale
from stvr.backbones.runtimes import has_bfloat16, instruction_set
from stvr.cli import main as stvr_main
from stvr.machine import processor
from stvr.store import FeatureStore
from stvr.structures import ClipSpec, Span
from stvr.video.decode import decode_clips

Network = Callable[[torch.Tensor], torch.Tensor]
Parts = dict[str, Callable[[], object]]  # a pair that one returns is what another process spent: by the clock, of cores
FORMER = "64f422e"
PARTS = ("whole", "steps", "profile")


@torch.inference_mode()
def pass_over(videos: list[Path], out: Path, network: Network, read: Callable[[Path], Iterator[torch.Tensor]]) -> None:
    """Runs all clips through a network and writes one .npy a video."""
    for path in videos:
        np.save(out / path.stem, torch.cat([network(clips) for clips in read(path)]).half().numpy())


def build_steps(videos: list[Path], out: Path) -> Parts:
    """Each step is the one before plus one thing."""
    whole, cut = build_network("Mixed_5c"), build_network("Mixed_4c")
    single, last = load_backbone(precision="float32").network, load_backbone(runtime="auto")
    half, at_once = last.network, 2 if has_bfloat16(torch.device("cpu")) else 8

    def over(network: Network, read: Callable[[Path], Iterator[torch.Tensor]]) -> Callable[[], object]:
        return lambda: pass_over(videos, out, network, read)

    def plain(network: torch.nn.Module) -> Callable[[], object]:
        return lambda: [np.save(out / path.stem, extract_features(network, path)) for path in videos]

    return {
        "plain script: whole network, float32, decode then compute": plain(whole),
        "+ cut at Mixed_4c": plain(cut),
        "+ folded, channels_last_3d": over(single, lambda path: plain_clips(path, 1)),
        "+ two clips at once": over(single, lambda path: plain_clips(path, 2)),
        f"+ {last.precision}": over(half, lambda path: plain_clips(path, at_once)),
        "+ colour and size in one step of the scaler": over(half, lambda path: our_clips(path, at_once)),
        "+ decoded while the network computes": over(half, lambda path: ahead(our_clips(path, at_once))),
        "`stvr extract`: into a store, with checksums": lambda: command(videos, out / "store"),
    }


def command(videos: list[Path], store: Path, *flags: str) -> FeatureStore:
    """`stvr extract` into a new store."""
    shutil.rmtree(store, ignore_errors=True)
    before, sys.argv = sys.argv, ["stvr", "extract", *map(str, videos), "--store", str(store), *flags]
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            stvr_main()
    except SystemExit as ended:
        if ended.code:
            raise RuntimeError(f"stvr extract ended with status {ended.code}") from None
    finally:
        sys.argv = before
    return FeatureStore.open(store)


def whole_runs(videos: list[Path], out: Path, before: Former, commit: str) -> Parts:
    """From the call to the last file written, the network built anew."""
    precision = "bfloat16" if has_bfloat16(torch.device("cpu")) else "float32"  # the earlier commit cannot always tell
    return {
        "plain script": lambda: plain_main(str(out / "plain"), *map(str, videos)),
        f"`stvr extract` of {commit}": lambda: before.extract(videos, out / "before", "--precision", precision),
        "`stvr extract`": lambda: command(videos, out / "whole"),
    }


@torch.inference_mode()
def build_profile(videos: list[Path], out: Path) -> Parts:
    """The parts of `stvr extract` one after the other, so that none hides another."""
    backbone = load_backbone(runtime="auto")
    frames = [torch.from_numpy(np.stack([clip for _, clip, _ in decode_clips(path, ClipSpec())])) for path in videos]
    maps = [backbone(clips).permute(0, 2, 3, 1, 4).half().contiguous().numpy() for clips in frames]
    extracted = command(videos, out / "profile")

    def decode() -> None:
        for path in videos:
            with av.open(str(path)) as container:
                container.streams.video[0].thread_type = "AUTO"
                for _ in container.decode(container.streams.video[0]):
                    pass

    def write() -> None:
        shutil.rmtree(out / "written", ignore_errors=True)
        store = FeatureStore.create(out / "written", extracted.spec)
        for path, values in zip(videos, maps, strict=True):
            with store.write(path.stem, len(values), values.shape[1:]) as writer:
                writer.append(values, extracted.ticks(path.stem))
                writer.complete()

    return {
        "decode": decode,
        "decode, colour, resize": lambda: [list(decode_clips(path, ClipSpec())) for path in videos],
        "scale": lambda: [scale(clip) for clips in frames for clip in clips.split(1)],
        "scale, network": lambda: [backbone(clips) for clips in frames],
        "compress": lambda: [Zstd(1, checksum=True).encode(clip) for values in maps for clip in values],
        "compress, write": write,
        "`stvr extract`": lambda: command(videos, out / "profiled"),
    }


class Spent(NamedTuple):
    """Of one part, in each round: seconds by the clock, and core seconds, which a busy machine blurs less."""

    wall: list[float]
    cores: list[float]


def interleaved(parts: Parts, rounds: int) -> dict[str, Spent]:
    spent = {name: Spent([], []) for name in parts}
    for number in range(rounds + 1):
        for name, part in parts.items():
            wall, cores = perf_counter(), process_time()
            elsewhere = part()
            both = perf_counter() - wall, process_time() - cores
            for times, seconds in zip(spent[name], elsewhere if isinstance(elsewhere, tuple) else both, strict=True):
                times += [seconds] if number else []
        print(f"round {number} of {rounds}", file=sys.stderr)
    return spent


def ratio(above: list[float], below: list[float]) -> float:
    return median(a / b for a, b in zip(above, below, strict=True))


def speed_table(title: str, spent: dict[str, Spent], clips: int) -> str:
    """Speeds, each also relative to the row before and to the first row."""
    first = next(iter(spent.values()))
    lines = [f"| {title} | clips / s | s of a core / clip | this part | all so far | all so far, core seconds |",
             "|---|---|---|---|---|---|"]
    for before, (name, now) in zip([first, *spent.values()], spent.items(), strict=False):
        lines.append(f"| {name} | {clips / median(now.wall):.2f} | {median(now.cores) / clips:.2f} | "
                     f"{ratio(before.wall, now.wall):.2f} x | {ratio(first.wall, now.wall):.2f} x | "
                     f"{ratio(first.cores, now.cores):.2f} x |")
    return "\n".join(lines)


def profile_table(spent: dict[str, Spent], clips: int) -> str:
    """The share of each part, by core seconds."""
    seconds = {name: median(part.cores) for name, part in spent.items()}
    whole = seconds.pop("`stvr extract`")
    for first, second in (("decode", "colour, resize"), ("scale", "network"), ("compress", "write")):
        seconds[second] = seconds.pop(f"{first}, {second}") - seconds[first]
    seconds["network built, clips handed on, threads waiting"] = whole - sum(seconds.values())
    rows = {**seconds, "**all of `stvr extract`**": whole}
    lines = ["| where the time goes | core ms / clip | share |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {each / clips * 1000:.1f} | {each / whole:.1%} |"
                                for name, each in rows.items())])


@torch.inference_mode()
def relative_error(videos: list[Path], store: FeatureStore) -> float:
    """||stored - float32|| / ||float32|| over all clips; float32: the plain network on the same pictures."""
    network, error, size = build_network("Mixed_4c"), 0.0, 0.0
    for path in videos:
        for index, frames, _ in decode_clips(path, ClipSpec()):
            exact = network(scale(torch.from_numpy(frames)[None]).contiguous())[0].permute(2, 3, 1, 0)
            stored = store.read(Span(path.stem, index, index + 1))[0].float()
            error, size = error + float((stored - exact).square().sum()), size + float(exact.square().sum())
    return (error / size) ** 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--videos", type=Path, nargs="+", help="Real videos; without, three are written.")
    parser.add_argument("--seconds", type=int, default=2, help="Length of each video that is written.")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--former", default=FORMER, metavar="COMMIT", help="Of this repository, to be compared with.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        os.environ["STVR_CACHE"] = str(out / "cache")  # empty
        (out / "videos").mkdir()
        videos = options.videos or write_videos(out / "videos", options.seconds)
        store = command(videos, out / "first")
        clips = sum(store.num_clips(path.stem) for path in videos)
        print(f"{processor()} ({instruction_set('cpu')}), {torch.get_num_threads()} threads, "
              f"torch {torch.__version__}; {len(videos)} videos, "
              f"{clips} clips of 8 x 320 x 320, {options.rounds} rounds.\n\n"
              f"Error of the stored features against the plain network in float32, same pictures: "
              f"{relative_error(videos, store):.1e} relative.\n")
        if "whole" in options.parts:
            with former(options.former, out / "former") as before:
                spent = interleaved(whole_runs(videos, out, before, options.former), options.rounds)
            print(speed_table("whole run, the network built anew", spent, clips), end="\n\n", flush=True)
            first, *_, last = spent.values()
            by_round = " ".join(f"{a / b:.2f}" for a, b in zip(first.wall, last.wall, strict=True))
            print(f"The last against the first, round by round: {by_round}.\n", flush=True)
        if "steps" in options.parts:
            spent = interleaved(build_steps(videos, out), options.rounds)
            print(speed_table("part switched on", spent, clips), end="\n\n", flush=True)
        if "profile" in options.parts:
            print(profile_table(interleaved(build_profile(videos, out), options.rounds), clips))


if __name__ == "__main__":
    main()
