"""The stages that `stvr bench` measures, each alone. STAGES is the menu."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from stvr.backbones import load_backbone
from stvr.backbones.runtimes import has_bfloat16
from stvr.extract.maps import as_kept, maps_by_endpoint, stream_of
from stvr.session import Session
from stvr.store import FeatureSpec, FeatureStore
from stvr.structures import ClipSpec, Features, Span, Tubelet
from stvr.video.decode import VideoInfo, decode_clips
from stvr.video.rates import decoded_seconds, resizing

CLIPS_A_SECOND = 3
ENDPOINTS = "Mixed_4c,Mixed_4f,Mixed_5c"  # of the head `nearest`
ALONE = "Mixed_4c"  # of `stvr extract`
AT_ONCE, CHUNK = 2, 4  # clips of a batch on a CPU; of a chunk of the context
STORED = 32  # clips that are written and read
DESCRIPTORS, WIDTH = (10_000, 100_000), 1024


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. clips_per_second: None for a stage that is not counted in clips, or could not be measured."""

    stage: str
    how: str
    clips_per_second: float | None
    note: str = ""

    @property
    def times_real_time(self) -> float | None:
        return None if self.clips_per_second is None else self.clips_per_second / CLIPS_A_SECOND


@dataclass(slots=True, eq=False)
class Bench:
    """What the stages measure with, and hand to later ones: clips of frames, a store, its size."""

    info: VideoInfo
    clip: ClipSpec
    device: str
    seconds: float
    folder: Path
    runtimes: tuple[str, ...] = ()
    frames: Tensor = field(default_factory=lambda: torch.empty(0))
    maps: Mapping[str, Tensor] = field(default_factory=dict)
    spec: FeatureSpec | None = None
    store: FeatureStore | None = None
    bytes_a_clip: float = 0.0

    def clips_per_second(self, run: Callable[[], object], clips: float) -> float:
        """Of a function that does so many; the median of as many runs as there is time for, two at least.

        The first is not counted.
        """
        run()
        times: list[float] = []
        until = time.perf_counter() + self.seconds
        while len(times) < 2 or time.perf_counter() < until:
            begun = time.perf_counter()
            run()
            if self.device.startswith("cuda"):
                torch.cuda.synchronize()
            times.append(time.perf_counter() - begun)
        return clips / median(times)

    def of_frames(self, number: int) -> Tensor:
        """So many clips (N, F, S, S, 3), the video's first ones over and over."""
        return self.frames[torch.arange(number) % len(self.frames)]


def decoding(bench: Bench) -> Iterator[Row]:
    decoded, begun = decoded_seconds(bench.info), time.perf_counter()
    seconds = next(decoded)
    while time.perf_counter() - begun < bench.seconds or not seconds:
        seconds = next(decoded)
    rate = CLIPS_A_SECOND * seconds / (time.perf_counter() - begun)
    yield Row("decode", f"{bench.info.codec}, {bench.info.width} x {bench.info.height}", rate)
    size = f"{bench.clip.image_size} pixels"
    once = bench.clips_per_second(resizing(bench.info, bench.clip.image_size), 1 / bench.clip.frames_per_clip)
    yield Row("resize", size, once, "bilinear, RGB, upright")
    clips = [frames for _, (_, frames, _) in zip(range(AT_ONCE * 4), decode_clips(bench.info.path, bench.clip),
                                                 strict=False)]  # fmt: skip
    bench.frames = torch.stack([torch.from_numpy(each) for each in clips])

    def read() -> None:
        for _ in zip(range(len(clips)), decode_clips(bench.info.path, bench.clip, info=bench.info), strict=False):
            pass

    yield Row("decode and resize", size, bench.clips_per_second(read, len(clips)))


def backbones(bench: Bench) -> Iterator[Row]:
    """I3D by every runtime that needs not compile first, and by those that were named."""
    on_cpu = not bench.device.startswith("cuda")
    size = AT_ONCE if on_cpu else 8
    ways = [("torch", "float32"), *([("winograd", "float32")] if on_cpu else [])]
    ways += [("torch", "bfloat16")] if has_bfloat16(torch.device(bench.device)) else []
    ways += [(runtime, "auto") for runtime in bench.runtimes]
    for runtime, precision in ways:
        how = f"{ALONE}, {runtime}, {precision}, {size} clips at once"
        try:
            backbone = load_backbone("i3d", "analytic", ALONE, precision, bench.device, runtime)
            rate = bench.clips_per_second(partial(maps_by_endpoint, backbone, bench.of_frames(size)), size)
        except (LookupError, ValueError) as error:
            yield Row("backbone", how, None, str(error))
            continue
        yield Row("backbone", how, rate)


def in_context(bench: Bench) -> Iterator[Row]:
    """Three endpoints along the whole video, as `stvr locate` without a checkpoint sees it."""
    backbone = load_backbone("i3d", "analytic", ENDPOINTS, device=bench.device)
    stream, frames = stream_of(backbone, bench.clip), bench.of_frames(CHUNK)
    first: Mapping[str, Tensor] = {}
    while not first:
        first = as_kept(backbone, stream.push(frames))
    bench.maps = {name: each[:1] for name, each in first.items()}
    bench.spec = FeatureSpec("i3d", backbone.weights, backbone.weights_digest, backbone.map_specs(bench.clip),
                             bench.clip)  # fmt: skip
    rate = bench.clips_per_second(lambda: as_kept(backbone, stream.push(frames)), CHUNK)
    yield Row("backbone in context", f"{ENDPOINTS}, torch, {backbone.precision}", rate, f"{CHUNK} clips a step")


def storing(bench: Bench) -> Iterator[Row]:
    assert bench.spec is not None
    store = bench.store = FeatureStore.create(bench.folder / "store", bench.spec)
    maps = {name: each.expand(STORED, *each.shape[1:]).contiguous() for name, each in bench.maps.items()}
    shapes = {name: tuple(each.shape[1:]) for name, each in maps.items()}
    ticks = torch.zeros(STORED, bench.clip.frames_per_clip, dtype=torch.long).numpy()
    notes = {"width": bench.info.width, "height": bench.info.height, "duration_seconds": STORED / CLIPS_A_SECOND}
    number = 0

    def write() -> None:
        nonlocal number
        with store.write(f"v{number}", STORED, shapes, notes) as writer:
            writer.append(maps, ticks)
            writer.complete()
        number += 1

    rate = bench.clips_per_second(write, STORED)
    size = sum(each.stat().st_size for each in bench.folder.joinpath("store", "v0").rglob("*") if each.is_file())
    bench.bytes_a_clip = size / STORED
    yield Row("store writes", "lossless, with checksums", rate, f"{bench.bytes_a_clip / 2**20:.2f} MiB a clip")
    read = bench.clips_per_second(lambda: store.read_features(Span("v0", 0, STORED)), STORED)
    yield Row("store reads", "from the file system's memory", read)


@torch.inference_mode()
def heads(bench: Bench) -> Iterator[Row]:
    """The head `nearest`: what it does once for a reference, and what once for a query."""
    assert bench.store is not None
    session = Session.open(None, store=bench.store, statistics=bench.store, device=bench.device, kept_bytes=0)
    kept = bench.store.read_features(Span("v0", 0, 8))
    chance = torch.Generator().manual_seed(0)
    maps = {name: each * (0.5 + torch.rand(each.shape, generator=chance)) for name, each in kept.maps.items()}
    features = Features(maps).to(session.device)  # no clip stands still
    tubelet = Tubelet(Span("v0", 0, 3), torch.tensor([[0.2, 0.1, 0.6, 0.9]] * 3))
    query = session.pooled(tubelet, features.part(slice(0, 3)))
    look = session.head.look(features)
    yield Row("head looks", "nearest", bench.clips_per_second(lambda: session.head.look(features), len(features)))
    yield Row("head is asked", "nearest", bench.clips_per_second(lambda: session.asked(look, query), len(features)))


@torch.inference_mode()
def searching(bench: Bench) -> Iterator[Row]:
    """The exact product of a query with descriptors, and the best of them."""
    for number in DESCRIPTORS:
        rows, query = (torch.randn(*size, device=bench.device) for size in ((number, WIDTH), (WIDTH,)))
        rate = bench.clips_per_second(partial(best_of, rows, query), 1)
        yield Row("search", f"{number:,} descriptors of {WIDTH}, exact", None, f"{1e3 / rate:.2f} ms a query")


def best_of(rows: Tensor, query: Tensor) -> Tensor:
    return (rows @ query).topk(100).indices


STAGES: Mapping[str, Callable[[Bench], Iterator[Row]]] = {
    "decoding": decoding, "backbones": backbones, "backbone in context": in_context, "storing": storing,
    "heads": heads, "searching": searching,
}  # fmt: skip
