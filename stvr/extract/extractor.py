"""One video: frames through a backbone into a store, going on where it was cut short."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from stvr.extract.ahead import Hung, Pulse, ahead, patiently
from stvr.extract.arithmetic import other_arithmetics
from stvr.extract.flow import Flow
from stvr.extract.maps import Backbone, map_shapes, processor_of
from stvr.extract.pace import Progress
from stvr.extract.todo import Outcome
from stvr.extract.ways import WAYS, Wanted
from stvr.store import Claimed, Complete, FeatureStore
from stvr.structures import ClipSpec
from stvr.video.copies import local
from stvr.video.decode import VideoError, VideoInfo, probe
from stvr.video.reading import Clip, read_clips
from stvr.video.source import BucketFile, Source, etag_of

T = TypeVar("T")
Floats = NDArray[np.float16]
BATCHES_AHEAD = 2  # decoded while the network runs


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that makes an extractor, here or in another process. Fields are those of `Extractor`."""

    store_path: str
    backbone: Backbone
    batch_size: int
    flow: Flow | None
    timeout: float | None
    retry: bool
    lease_seconds: float

    def open_store(self) -> FeatureStore:
        return FeatureStore.open(self.store_path)

    def build(self) -> Extractor:
        store = self.open_store()
        store.lease_seconds = self.lease_seconds
        return Extractor(store, self.backbone, self.batch_size, self.flow, self.timeout, self.retry)


class Extractor:
    """Puts one video at a time into a store; videos may be spread over processes, the store keeps them apart.

    timeout: seconds that the decoder may be silent. retry: try what is in quarantine, too.
    """

    def __init__(
        self, store: FeatureStore, backbone: Backbone, batch_size: int = 8, flow: Flow | None = None,
        timeout: float | None = None, retry: bool = False,
    ) -> None:  # fmt: skip
        self.store, self.backbone, self.batch_size, self.flow = store, backbone, batch_size, flow
        self.timeout, self.retry = timeout, retry
        self.libraries = ["av", "numpy", "torch", "zarr", *([flow.library] if flow else [])]
        clip = store.spec.clip
        self.way = WAYS[clip.context](backbone, store.spec, batch_size)
        if flow:
            black = np.zeros((clip.frames_per_clip, clip.image_size, clip.image_size, 3), np.uint8)
            flow(None, black, (1, 1))  # its first use imports things, which must not count as a silent decoder
        self.map_shapes = map_shapes(backbone, clip)
        rows, columns, *_ = self.map_shapes[store.spec.finest.endpoint]
        self.grid = rows, columns  # of flow

    def __call__(self, video: str, source: Source) -> Iterator[Progress | Outcome]:
        """How far the video is after every batch, and last what became of it.

        A video whose file is at fault goes into quarantine. A fault of another file, the store or the network is raised
        or reported, and the next run tries again.
        """
        digest, copy = "", str(source)  # messages should name the video, not its copy
        try:
            if isinstance(source, BucketFile):
                if known := self._known(video, source):
                    yield known
                    return
                self.store.check_free(video)
            with local(source) as (path, origin):
                copy = str(path)
                digest = digest_of(path)
                try:
                    for event in self._extract(video, path, digest, origin):
                        if isinstance(event, Outcome):
                            break
                        yield event
                except Complete:  # by another run, after this one had looked
                    event = self._skip(video, path, digest)
            yield event  # after the copy is deleted, because the process may be stopped here
        except Claimed as error:
            yield Outcome(failed=str(error), claimed=True)
        except VideoError as error:
            if digest:
                self.store.quarantine(video, str(error).replace(copy, str(source)), digest)
            yield Outcome(failed=str(error).replace(copy, str(source)), hung=isinstance(error.__cause__, Hung))
        except ValueError as error:
            yield Outcome(failed=str(error).replace(copy, str(source)))

    def _known(self, video: str, source: BucketFile) -> Outcome | None:
        """The outcome for an object that has not changed since the store got it, and so need not be fetched again."""
        try:
            etag = etag_of(source)
        except OSError as error:
            raise VideoError(str(error)) from error
        if etag is None or video not in self.store:
            return None
        info = self.store.info(video)
        if info.get("object") != {"url": source.url, "etag": etag}:
            return None
        return self._skip(video, Path(source.name), info["digest"])

    def _extract(self, video: str, path: Path, digest: str, origin: dict[str, Any]) -> Iterator[Progress | Outcome]:
        if video in self.store:
            yield self._skip(video, path, digest)
            return
        if known := self.store.quarantined(video):
            if known["digest"] == digest and not self.retry:
                yield Outcome(failed=f"{known['reason']} An earlier run found this; --retry tries again.")
                return
            self.store.release(video)
        pulse, errors = Pulse(self.timeout), list[str]()
        with _patience(path, pulse):
            info = patiently(_blamed(path, (probe(path, pulse.beat) for _ in range(1))), pulse)
        num_clips, computed = info.count_clips(self.store.spec.clip), 0
        notes = self._notes(info, digest) | origin
        with self.store.write(video, num_clips, self.map_shapes, notes) as writer:
            others = other_arithmetics(writer.noted, notes)
            wanted, start = Wanted(writer.missing, self.store.clips_per_shard), self.way.reads_from(writer.next_clip)
            clips = read_clips(path, self.store.spec, start, info, lambda error: errors.append(str(error)), pulse.beat)
            shown = self._with_flow(_blamed(path, clips), wanted)
            batches = self.way.batches(shown, wanted, stops="decode_errors" in writer.noted)
            with _patience(path, pulse), closing(ahead(batches, BATCHES_AHEAD, pulse)) as ready:
                for group in self.way.compute(ready, wanted):
                    flows = [clip.flow for clip in group.clips if clip.flow is not None]
                    ticks = np.stack([clip.ticks for clip in group.clips])
                    writer.append(group.maps, ticks, np.stack(flows) if flows else None, group.flipped)
                    computed += len(group.clips)
                    yield Progress(computed, writer.num_clips - writer.num_wanted, writer.num_clips)
            num_errors = max(len(errors), writer.noted.get("decode_errors", 0))
            doubt = _doubt(info, num_errors, num_clips - writer.next_clip, self.store.spec.clip)
            more = {"also_computed_by": others, "doubt": doubt}
            writer.complete(decode_errors=num_errors, **{name: value for name, value in more.items() if value})
        mixed = f"shards by {', '.join(others)}, whose last bits may differ from the rest" if others else ""
        yield Outcome(  # after the claim is released, as above
            computed, writer.num_clips - computed, doubt=doubt, mixed=mixed if computed else ""
        )  # fmt: skip

    def _skip(self, video: str, path: Path, digest: str) -> Outcome:
        info = self.store.info(video)
        if info.get("digest") != digest:
            raise ValueError(
                f"{video!r} is already in {self.store.path}, made from another file: {info.get('source')} with "
                f"digest {info.get('digest')}, not {path.name} with {digest}. Rename the file or give another --store."
            )
        if info.get("precision", self.backbone.precision) != self.backbone.precision:
            raise ValueError(
                f"{video!r} is already in {self.store.path}, computed in {info['precision']}, not in "
                f"{self.backbone.precision}. Give --precision {info['precision']} or another --store."
            )
        return Outcome(reused=self.store.num_clips(video), skipped=True, doubt=info.get("doubt", ""))

    def _with_flow(self, clips: Iterator[Clip], wanted: Wanted) -> Iterator[Clip]:
        """Every clip that is wanted gets its flow (row, column, 2) where clips are decoded: beside the network."""
        for clip in clips:
            if self.flow and wanted(clip.number):
                yield clip._replace(flow=self.flow(clip.before, clip.frames, self.grid))
            else:
                yield clip

    def _notes(self, info: VideoInfo, digest: str) -> dict[str, Any]:
        return {
            "source": info.path.name,
            "digest": digest,
            "width": info.width,
            "height": info.height,
            "duration_seconds": float(info.duration),
            "offset_seconds": float(info.offset),
            "time_base": str(info.time_base),
            "codec": info.codec,
            "precision": self.backbone.precision,
            "batch_size": self.batch_size,
            "processor": processor_of(self.backbone),
            "versions": {name: version(name) for name in self.libraries},
        }


def _doubt(info: VideoInfo, num_errors: int, num_lost: int, clip: ClipSpec) -> str:
    """num_lost: clips at the end; of the last one, a picture may be all that does not decode."""
    parts = [info.doubt(num_lost / clip.clips_per_second if num_lost > 1 else Fraction(0)),
             "its last clip does not decode" if num_lost == 1 else "",
             f"{num_errors} decoding errors" if num_errors else ""]  # fmt: skip
    return "; ".join(filter(None, parts))


def _blamed(path: Path, items: Iterator[T]) -> Generator[T, None, None]:
    """The same items; any error of the decoder is reported as the file's fault."""
    try:
        yield from items
    except VideoError:
        raise
    except Exception as error:
        raise VideoError(f"{path} cannot be decoded: {type(error).__name__}: {error}.") from error


@contextmanager
def _patience(path: Path, pulse: Pulse) -> Iterator[None]:
    try:
        yield
    except Hung as error:
        raise VideoError(f"{path} hangs the decoder: there was no progress for {pulse.patience:g} s.") from error


def digest_of(path: Path) -> str:
    """The sha256 of the file's bytes."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise VideoError(f"{path} cannot be read as a video: {error.strerror}.") from error
