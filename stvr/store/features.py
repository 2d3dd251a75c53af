"""FeatureStore: the feature maps of many videos on Zarr, the only door between extraction and heads."""

from __future__ import annotations

import json
import time
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import zarr
from numpy.typing import NDArray
from torch import Tensor
from zarr.errors import ContainsGroupError

from stvr.store.arrays import Shapes, arrays_of, as_maps, by_endpoint, coded_maps, maps_name, shard_key
from stvr.store.claims import LEASE_SECONDS, Complete, kept
from stvr.store.codes import check_code, decode
from stvr.store.names import folder_of, video_of
from stvr.store.older_stores import any_map_shape, refuse_folder_of_stores, with_maps
from stvr.store.places import Place, place_at
from stvr.store.shards import is_plain, read_clips
from stvr.store.writer import VideoWriter, notes_of
from stvr.structures import Features, FeatureSpec, Span
from stvr.version import __version__

FORMAT = 2  # 1, of release 0.1.0, did not say what its maps are
MARKS = ".complete"  # an empty file a video, so that many are listed without looking into each
FAILED = ".failed"  # a JSON file a video that cannot be extracted


class FeatureStore:
    """The feature maps of many videos that one backbone made. Get one by `open`, `create` or `open_or_create`.

    A folder, or "s3://bucket/prefix", with a Zarr v3 group a video: `features` [clip, row, column, time, channel]
    float16, one clip a chunk, `clips_per_shard` a shard, zstd-1 with its checksum and without shuffle (it makes ReLU's
    zeros larger), coded as the spec's `compress` says; of several endpoints `features.Mixed_4c` and so on; `ticks`
    [clip, frame] int64; where the spec says so `flow` [clip, row, column, direction] float16 on the grid of the finest
    map, and `features_flipped`, as `features`. A video is in the store when its `attrs["stvr"]["state"]` says complete,
    which is written last. lease_seconds: how long a writer that died on another machine holds its video.
    """

    how_to_add = "Run `stvr extract` on the videos"

    def __init__(
        self, place: Place, spec: FeatureSpec, clips_per_shard: int, lease_seconds: float = LEASE_SECONDS,
        kept: FeatureSpec | None = None,
    ) -> None:  # fmt: skip
        self.place, self.spec, self.clips_per_shard, self.lease_seconds = place, spec, clips_per_shard, lease_seconds
        self._kept = kept or spec  # of all that is there; `spec` is of what is read
        self._notes: dict[str, dict[str, Any]] = {}  # complete videos that were asked for: these change no more
        self._groups: dict[str, zarr.Group] = {}
        self._arrays: dict[tuple[str, str], tuple[zarr.Array[Any], bool]] = {}  # (video, name); whether it `is_plain`

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens it anew."""
        return _opened, (self.path, self.spec.endpoints)

    @classmethod
    def create(cls, path: Path | str, spec: FeatureSpec, clips_per_shard: int = 64) -> FeatureStore:
        """Makes an empty store. FileExistsError when the folder already holds anything."""
        check_code(spec.compress)
        place = place_at(path)
        refuse_folder_of_stores(place)
        if not place.is_empty():
            raise FileExistsError(f"{path} is not empty. Name a folder that is new, or open the store that is there.")
        values = {"format": FORMAT, "stvr": __version__, "spec": spec.to_json(), "clips_per_shard": clips_per_shard}
        try:
            zarr.create_group(place.zarr(), attributes={"stvr": values})
        except ContainsGroupError:
            raise FileExistsError(f"{path} has just become a store. Open it.") from None
        return cls(place, spec, clips_per_shard)

    @classmethod
    def open(cls, path: Path | str) -> FeatureStore:
        """Opens a store. FileNotFoundError when there is none, ValueError when it is something else."""
        place = place_at(path)
        content = place.read("zarr.json")
        if content is None:
            refuse_folder_of_stores(place)
            raise FileNotFoundError(f"there is no feature store at {path}. Run `stvr extract --store {path}` first.")
        try:
            values = json.loads(content).get("attributes", {}).get("stvr", {})
        except ValueError:
            raise ValueError(f"{path}/zarr.json is garbled: that is no feature store. Extract it anew.") from None
        if values.get("format") not in (1, FORMAT):
            raise ValueError(f"{path} is not a feature store of format {FORMAT}, its format is {values.get('format')}. "
                             "Extract it anew, or open it with the release of stvr that wrote it.")
        spec = values["spec"] if values["format"] == FORMAT else with_maps(values["spec"], any_map_shape(place))
        return cls(place, FeatureSpec.from_json(spec), values["clips_per_shard"])

    @classmethod
    def open_or_create(cls, path: Path | str, spec: FeatureSpec, clips_per_shard: int = 64) -> FeatureStore:
        """The store at `path`, made when there is none. ValueError when one of another spec is there."""
        if place_at(path).read("zarr.json") is None:
            try:
                return cls.create(path, spec, clips_per_shard)
            except FileExistsError:  # made by another run this moment, or other things
                if place_at(path).read("zarr.json") is None:
                    raise
        store = cls.open(path)
        if lines := store.spec.differences(spec):
            raise ValueError(f"{path} holds other features: its {'; its '.join(lines)}. Give another --store.")
        return store

    @property
    def path(self) -> Path | str:
        """The folder, or the bucket's URL."""
        return self.place.path

    def __str__(self) -> str:
        return str(self.path)

    def __contains__(self, video: object) -> bool:
        """Whether the video is there from its first clip to its last."""
        return isinstance(video, str) and bool(video) and self._find(video) is not None

    def videos(self) -> list[str]:
        """The complete videos, sorted. Those without a mark are looked into."""
        folders = self.place.folders()
        marked = {video_of(folder) for folder in self.place.keys(MARKS) & folders}
        return sorted(marked | {name for name in map(video_of, folders) if name not in marked and name in self})

    def folder(self, video: str) -> str:
        """Where a video lies. Earlier releases kept names in the file's own Unicode form, not always C."""
        folder = folder_of(unicodedata.normalize("NFC", video))
        older = folder if folder.isascii() else folder_of(unicodedata.normalize("NFD", video))
        is_older = older != folder and self.place.read(f"{folder}/zarr.json") is None
        return older if is_older and self.place.read(f"{older}/zarr.json") is not None else folder

    def num_clips(self, video: str) -> int:
        return int(self.info(video)["num_clips"])

    def info(self, video: str) -> dict[str, Any]:
        """What was noted when the video was written: its size in pixels, duration, source, versions."""
        notes = self._find(video)
        if notes is None:
            raise LookupError(f"{video!r} is not in this store. Run `stvr extract` on it first.")
        return dict(notes)

    def offset_seconds(self, video: str) -> float:
        """When the first clip begins, in seconds of the container's clock; 0 where an older release did not note it."""
        return float(self.info(video).get("offset_seconds", 0.0))

    def ticks(self, video: str) -> NDArray[np.int64]:
        """[clip, frame]: when each chosen frame is shown, in the video's time base after its first frame."""
        return np.asarray(cast("zarr.Array[Any]", self.group(video)["ticks"])[:])

    def only(self, endpoints: Sequence[str]) -> FeatureStore:
        """The same store, of which these maps alone are read. LookupError that names those that are there."""
        return FeatureStore(self.place, self.spec.only(endpoints), self.clips_per_shard, self.lease_seconds, self._kept)

    def read(
        self, span: Span, flipped: bool = False, endpoint: str | None = None, out: Tensor | None = None
    ) -> Tensor:
        """The feature maps of a span, (T, row, column, time, channel) float16. LookupError when they are not here.

        flipped: those of the frames mirrored left to right, which are not the mirrored features. endpoint: None is the
        only one; ValueError where there are several. out: contiguous, where they are wanted; it is returned.
        """
        if flipped and not self.spec.flipped:
            raise LookupError(f"{self.path} has no features of mirrored frames. Extract with --flip to another store.")
        kept = (self.spec if endpoint is None else self.spec.only([endpoint])).map
        place = None if out is None else out.numpy()
        parts = coded_maps(self.spec.compress, (0, 0, 0, 0))
        coded = {part: self.read_part(span, maps_name(self._kept, kept.endpoint, flipped, part),
                                      place if len(parts) == 1 else None) for part in parts}
        found = torch.from_numpy(decode(coded, self.spec.compress))
        return found if out is None or len(parts) == 1 else out.copy_(found)

    def read_features(self, span: Span, endpoints: Sequence[str] | None = None, flipped: bool = False) -> Features:
        """The maps of a span as heads read them, (T, H, W, C) float32 by endpoint; None: all that there are. No flow.

        LookupError as `read`.
        """
        names = self.spec.endpoints if endpoints is None else endpoints
        return Features({name: as_maps(self.read(span, flipped, name)) for name in names})

    def map_shapes(self, video: str) -> dict[str, tuple[int, ...]]:
        """Endpoint -> (row, column, time, channel) of a complete video's maps."""
        names = {endpoint: maps_name(self._kept, endpoint) for endpoint in self._kept.endpoints}
        return {endpoint: self._array(video, name)[0].shape[1:] for endpoint, name in names.items()}

    def read_flow(self, span: Span, flipped: bool = False) -> Tensor:
        """What moved since the clip before, (T, row, column, 2) float16, (y, x) in cells. LookupError without it.

        The cell (y, x) of clip t shows what was at (y, x) - flow at the end of clip t - 1 (in the first clip of a
        video: at its own beginning). flipped: of the mirrored frames.
        """
        if self.spec.flow == "none":
            raise LookupError(f"{self.path} has no flow. Extract with --flow ilk (or tvl1, raft) to another store.")
        flow = torch.from_numpy(self.read_part(span, "flow"))
        return flow.flip(2) * flow.new_tensor([1.0, -1.0]) if flipped else flow

    def read_part(self, span: Span, name: str, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """A span of one array as it is kept, (T, ...). out: contiguous, where it is wanted; it is returned."""
        values, is_plain = self._array(span.video, name)
        if span.stop > values.shape[0]:
            raise LookupError(f"{span.video!r} has {values.shape[0]} clips here, not [{span.start}, {span.stop}).")
        wanted = (len(span), *values.shape[1:])
        if out is None:
            out = np.empty(wanted, values.dtype)
        if out.shape != wanted or out.dtype != values.dtype:
            raise ValueError(f"{name} of {span.video!r} is {wanted} {values.dtype}, not {out.shape} {out.dtype}. "
                             "Extract all videos at one size.")
        try:
            self._read_shards(span, name, values, is_plain, out)
        except (RuntimeError, ValueError) as error:  # a chunk or an index that does not have its checksum
            raise ValueError(f"clips [{span.start}, {span.stop}) of {span.video!r} in {self.path} are damaged: "
                             f"{error}. Run `stvr repair`.") from error
        return out

    def _read_shards(
        self, span: Span, name: str, values: zarr.Array[Any], is_plain: bool, out: NDArray[Any]
    ) -> None:
        """Straight from the files where we know how they are made, or else as zarr does."""
        folder, axes = f"{self.folder(span.video)}/{name}", values.ndim - 1
        if is_plain and read_clips(self.place, folder, span, self.clips_per_shard, out):
            return
        out[:] = np.asarray(values[span.start : span.stop])
        if not out.any(axis=tuple(range(1, out.ndim))).all():
            self._check_shards(span, name, axes)

    def _array(self, video: str, name: str) -> tuple[zarr.Array[Any], bool]:
        if (video, name) not in self._arrays:
            group = self.group(video)
            if name not in group:
                raise ValueError(f"{video!r} in {self.path} is damaged: it has no array {name!r}. Run `stvr repair`.")
            values = cast("zarr.Array[Any]", group[name])
            self._arrays[video, name] = values, is_plain(values, self.clips_per_shard)
        return self._arrays[video, name]

    def _check_shards(self, span: Span, name: str, axes: int) -> None:
        """ValueError where a shard of the span is missing, which zarr reads as zeros."""
        for shard in range(span.start // self.clips_per_shard, -(-span.stop // self.clips_per_shard)):
            if self.place.read(f"{self.folder(span.video)}/{name}/{shard_key(shard, axes)}") is None:
                raise ValueError(f"shard {shard} of {name} is missing")

    @contextmanager
    def write(
        self, video: str, num_clips: int, map_shape: tuple[int, ...] | Shapes, info: Mapping[str, Any] | None = None
    ) -> Iterator[VideoWriter]:
        """Begins a video, or goes on where it was cut short; nobody else can write it meanwhile.

        map_shape: (row, column, time, channel), by endpoint where there are several. info: JSON values to keep;
        `digest` says which file it is made from. Claimed, a ValueError, when another process writes it; Complete, a
        ValueError, when it has all; ValueError when it is half made from another file.
        """
        if not video:
            raise ValueError("a video without a name cannot be in a store. Rename the file.")
        folder = self.folder(video)
        with kept(self.place.claim(folder, self.lease_seconds), self.lease_seconds) as claim:
            if video in self:
                self._mark(video)
                raise Complete(video, str(self.path))
            self.place.delete(f"{MARKS}/{folder}")  # of one that was removed by hand
            shapes = by_endpoint(self._kept, map_shape)
            yield VideoWriter(
                self.place, folder, num_clips, self._kept, shapes, dict(info or {}), self.clips_per_shard, claim.check
            )
            if video in self:
                self._mark(video)

    def check_free(self, video: str) -> None:
        """Claimed, a ValueError, when another process writes the video."""
        self.place.claim(self.folder(video), self.lease_seconds).release()

    def reopen(self, video: str, shards: Collection[int] | None = None) -> None:
        """Says that shards of a video are missing (None: the whole video), so that the next extraction makes them."""
        folder = self.folder(video)
        with kept(self.place.claim(folder, self.lease_seconds), self.lease_seconds):
            self.place.delete(f"{MARKS}/{folder}")
            self._notes.pop(video, None)
            self._groups.pop(video, None)
            self._arrays = {key: each for key, each in self._arrays.items() if key[0] != video}
            if shards is None:
                self.place.delete_all(folder)
                return
            group = zarr.open_group(self.place.zarr(), path=folder, mode="r+")
            group.attrs["stvr"] = {**cast(dict[str, Any], group.attrs["stvr"]), "state": "writing"}
            layout = arrays_of(self._kept, dict.fromkeys(self._kept.endpoints, (0, 0, 0, 0)))
            for shard in shards:
                for name, each in reversed(layout.items()):  # the marker first
                    self.place.delete(f"{folder}/{name}/{each.shard_key(shard)}")

    def is_garbled(self, video: str) -> bool:
        """Whether nobody can say any more what was noted of a video."""
        try:
            notes_of(self.place, self.folder(video))
        except ValueError:
            return True
        return False

    def quarantine(self, video: str, reason: str, digest: str) -> None:
        """Notes why a file cannot be extracted, so that no later run tries until it changes."""
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        note = {"video": video, "reason": reason, "digest": digest, "when": when}
        self.place.write(f"{FAILED}/{folder_of(video)}.json", json.dumps(note).encode())

    def release(self, video: str) -> None:
        """Takes a video out of quarantine."""
        self.place.delete(f"{FAILED}/{folder_of(video)}.json")

    def quarantined(self, video: str) -> dict[str, str] | None:
        content = self.place.read(f"{FAILED}/{folder_of(video)}.json")
        return None if content is None else json.loads(content)

    def failed(self) -> dict[str, str]:
        """Video -> why it cannot be extracted."""
        keys = self.place.keys(FAILED)
        names = sorted(video_of(key.removesuffix(".json")) for key in keys if key.endswith(".json"))
        notes = {name: self.quarantined(name) for name in names}
        return {name: note["reason"] for name, note in notes.items() if note}

    def group(self, video: str) -> zarr.Group:
        """The Zarr group of a complete video."""
        self.info(video)
        if video not in self._groups:
            self._groups[video] = zarr.open_group(self.place.zarr(), path=self.folder(video), mode="r")
        return self._groups[video]

    def _mark(self, video: str) -> None:
        self.place.write(f"{MARKS}/{self.folder(video)}", b"")

    def _find(self, video: str) -> dict[str, Any] | None:
        if video not in self._notes:
            try:
                notes = notes_of(self.place, self.folder(video))
            except ValueError:  # garbled: whoever writes or checks it says so
                return None
            if notes is None or notes.get("state") != "complete":
                return None
            self._notes[video] = notes
        return self._notes[video]


def _opened(path: Path | str, endpoints: Sequence[str]) -> FeatureStore:
    return FeatureStore.open(path).only(endpoints)
