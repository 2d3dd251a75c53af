"""Stage one: videos through a backbone into a store, going on where a run before was cut short."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stvr.extract.decode import RESIZES, VideoError, VideoInfo, probe
from stvr.extract.flow import Flow
from stvr.extract.progress import Step, shown
from stvr.extract.reading import COLOUR_ORDERS, Clip, as_fed, read_clips
from stvr.store import FeatureSpec, FeatureStore
from stvr.structures import ClipSpec

T = TypeVar("T")
Floats = NDArray[np.float16]
BATCHES_AHEAD = 2  # decoded while the network runs


class Backbone(Protocol):
    """Turns clips (B, frame, S, S, 3) uint8 into feature maps (B, time, row, column, channel)."""

    @property
    def name(self) -> str: ...
    @property
    def weights(self) -> str: ...
    @property
    def weights_digest(self) -> str: ...
    @property
    def endpoint(self) -> str: ...
    @property
    def precision(self) -> str: ...
    def __call__(self, frames: Tensor, /) -> Tensor: ...


@dataclass(slots=True)
class ExtractReport:
    """What became of each video: failed says why. clips_reused were in the store when the run began."""

    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    clips_computed: int = 0
    clips_reused: int = 0


def extract(
    videos: Sequence[Path | str],
    store_path: Path | str,
    backbone: Backbone,
    clip: ClipSpec,
    *,
    batch_size: int = 8,
    clips_per_shard: int = 64,
    flow: Flow | None = None,
    flip: bool = False,
    colour_order: str = "RGB",
    resize: str = "bilinear",
    report: Callable[[Step], None] | None = None,
) -> ExtractReport:
    """Puts the feature maps of all videos into a store, each under the name of its file without the ending.

    Complete videos are skipped, half done ones go on at their first missing shard; one that cannot be extracted is
    reported and does not stop the others. ValueError when two files have one name, or the store another spec.
    flow: computed beside the features. flip: the features of the mirrored frames, too. colour_order, resize: what the
    backbone is fed; BGR and tf1 are the authors'.
    `report` is told of every batch; without one, progress is shown on standard error.
    """
    paths = _by_name(videos)
    check_named("colour order", colour_order, COLOUR_ORDERS)
    check_named("resize", resize, RESIZES)
    spec = FeatureSpec(
        backbone.name, backbone.weights, backbone.weights_digest, backbone.endpoint, clip, colour_order, resize,
        flow=flow.spec if flow else "none", flipped=flip,
    )  # fmt: skip
    extractor = Extractor(FeatureStore.open_or_create(store_path, spec, clips_per_shard), backbone, batch_size, flow)
    result, pace = ExtractReport(), _Pace(list(paths.values()))
    with nullcontext(report) if report else shown() as tell:
        for name, path in paths.items():
            try:
                outcome = extractor(path, lambda computed, share: tell(pace.step(computed, share)))
            except ValueError as error:
                result.failed[name] = str(error)
                outcome = Outcome()
            else:
                (result.skipped if outcome.skipped else result.done).append(name)
            result.clips_computed += outcome.computed
            result.clips_reused += outcome.reused
            pace.leave(outcome)
    return result


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one video: clips computed now, clips that were in the store before, whether there was nothing to do."""

    computed: int = 0
    reused: int = 0
    skipped: bool = False


class Extractor:
    """Puts one video at a time into a store; calls may be spread over processes, the store keeps them apart."""

    def __init__(
        self, store: FeatureStore, backbone: Backbone, batch_size: int = 8, flow: Flow | None = None
    ) -> None:
        self.store, self.backbone, self.batch_size, self.flow = store, backbone, batch_size, flow
        self.libraries = ["av", "numpy", "torch", "zarr", *([flow.library] if flow else [])]
        clip = store.spec.clip
        black = np.zeros((2, clip.frames_per_clip, clip.image_size, clip.image_size, 3), np.uint8)
        self.map_shape = tuple(self._features(black).shape[1:])  # row, column, time, channel

    def __call__(self, path: Path, tell: Callable[[int, float], None] = lambda computed, share: None) -> Outcome:
        """`tell` gets the clips computed so far and the share of the video that is done, after every batch."""
        digest = _digest(path)
        if path.stem in self.store:
            return self._skip(path, digest)
        info, errors = probe(path), list[str]()
        notes = self._notes(info, digest)
        num_clips = info.count_clips(self.store.spec.clip)
        with self.store.write(path.stem, num_clips, self.map_shape, notes) as writer:
            start = writer.next_clip
            clips = read_clips(path, self.store.spec, start, info, lambda error: errors.append(str(error)))
            batches = _batches(self._with_flow(clips), self.batch_size, self.store.clips_per_shard)
            with closing(_ahead(batches, BATCHES_AHEAD)) as ready:
                for frames, ticks, flow in ready:
                    flipped = self._features(frames, flipped=True) if self.store.spec.flipped else None
                    writer.append(self._features(frames), ticks, flow, flipped)
                    tell(writer.next_clip - start, writer.next_clip / writer.num_clips)
            writer.complete(decode_errors=len(errors))
            return Outcome(writer.num_clips - start, start)

    def _skip(self, path: Path, digest: str) -> Outcome:
        info = self.store.info(path.stem)
        if info.get("digest") != digest:
            raise ValueError(
                f"{path.stem!r} is in {self.store.path} already, made from another file: {info.get('source')} with "
                f"digest {info.get('digest')}, not {path.name} with {digest}. Rename the file or give another --store."
            )
        return Outcome(reused=self.store.num_clips(path.stem), skipped=True)

    def _with_flow(self, clips: Iterator[Clip]) -> Iterator[tuple[Clip, Floats | None]]:
        """Each clip and its flow (row, column, 2), computed where the clips are decoded: beside the network."""
        rows, columns = self.map_shape[:2]
        for clip in clips:
            yield clip, self.flow(clip.before, clip.frames, (rows, columns)) if self.flow else None

    def _features(self, frames: NDArray[np.uint8], flipped: bool = False) -> Tensor:
        """(N, row, column, time, channel) float16."""
        with torch.inference_mode():
            maps = self.backbone(as_fed(frames, self.store.spec, flipped))
        maps = maps.permute(0, 2, 3, 1, 4).to("cpu", torch.float16)
        if not maps.isfinite().all():
            raise ValueError(f"{self.backbone.name} gave features that are not finite in float16.")
        return maps

    def _notes(self, info: VideoInfo, digest: str) -> dict[str, Any]:
        return {
            "source": info.path.name,
            "digest": digest,
            "width": info.width,
            "height": info.height,
            "duration_seconds": float(info.duration),
            "time_base": str(info.time_base),
            "codec": info.codec,
            "precision": self.backbone.precision,
            "batch_size": self.batch_size,
            "versions": {name: version(name) for name in self.libraries},
        }


def _batches(
    clips: Iterator[tuple[Clip, Floats | None]], size: int, clips_per_shard: int
) -> Generator[tuple[NDArray[np.uint8], NDArray[np.int64], Floats | None], None, None]:
    """Frames, ticks and flows, (N, ...). A new batch begins at each shard, so that they are cut alike after a kill."""
    waiting: list[tuple[Clip, Floats | None]] = []
    for clip, flow in clips:
        if waiting and clip.number % clips_per_shard % size == 0:
            yield _stacked(waiting)
            waiting = []
        waiting.append((clip, flow))
    if waiting:
        yield _stacked(waiting)


def _stacked(
    clips: Sequence[tuple[Clip, Floats | None]]
) -> tuple[NDArray[np.uint8], NDArray[np.int64], Floats | None]:
    flows = [flow for _, flow in clips if flow is not None]
    frames, ticks = ([getattr(clip, name) for clip, _ in clips] for name in ("frames", "ticks"))
    return np.stack(frames), np.stack(ticks), np.stack(flows) if flows else None


def _ahead(items: Generator[T, None, None], depth: int) -> Generator[T, None, None]:
    """The same items, of which the next `depth` are made in a thread meanwhile."""
    with ThreadPoolExecutor(1) as worker, closing(items):
        waiting = deque(worker.submit(next, items, None) for _ in range(depth))
        try:
            while (item := waiting.popleft().result()) is not None:
                waiting.append(worker.submit(next, items, None))
                yield item
        finally:
            worker.shutdown(cancel_futures=True)


def check_named(what: str, name: str, menu: Collection[str]) -> None:
    if name not in menu:
        raise LookupError(f"{name!r} is no {what}. The menu is: {', '.join(menu)}.")


def _by_name(videos: Sequence[Path | str]) -> dict[str, Path]:
    paths: dict[str, Path] = {}
    for path in map(Path, videos):
        if path.stem in paths:
            raise ValueError(
                f"{paths[path.stem]} and {path} would both be {path.stem!r} in the store. Rename one, or leave it out."
            )
        paths[path.stem] = path
    return paths


def _digest(path: Path) -> str:
    """What is in the file, as sha256 of its bytes."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise VideoError(f"{path} cannot be read as a video: {error.strerror}.") from error


class _Pace:
    """How long is left, judged by bytes of video: they are known before anything is decoded."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths, self._sizes = paths, [path.stat().st_size if path.is_file() else 0 for path in paths]
        self._begun, self._number, self._clips, self._worked = time.monotonic(), 0, 0, 0.0

    def step(self, computed: int, share: float) -> Step:
        """`computed` clips and `share` of the video at work are done."""
        seconds = time.monotonic() - self._begun
        here = share * self._sizes[self._number]
        left = sum(self._sizes[self._number :]) - here
        return Step(
            video=self._paths[self._number].stem,
            number=self._number + 1,
            num_videos=len(self._paths),
            clips=self._clips + computed,
            fraction=1 - left / max(sum(self._sizes), 1),
            seconds=seconds,
            seconds_left=seconds * left / max(self._worked + here, 1),
        )

    def leave(self, outcome: Outcome) -> None:
        """On to the next video; one that took no work says nothing of the pace."""
        self._worked += self._sizes[self._number] if outcome.computed else 0
        self._clips += outcome.computed
        self._number += 1
