"""FeatureStore: the feature maps of many videos on Zarr, the only door between extraction and heads."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import zarr
from numpy.typing import NDArray
from torch import Tensor
from zarr.codecs import ZstdCodec
from zarr.storage import LocalStore

from stvr.structures import ClipSpec, Span

FORMAT = 1
AXES = ("clip", "row", "column", "time", "channel")


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """What made the features of a store: two stores with one spec are comparable.

    weights: what a person calls them; weights_digest: what they are. endpoint: where the backbone is cut.
    """

    backbone: str
    weights: str = field(compare=False)
    weights_digest: str
    endpoint: str
    clip: ClipSpec
    colour_order: str = "RGB"
    resize: str = "bilinear"
    dtype: str = "float16"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> FeatureSpec:
        return cls(**{**values, "clip": ClipSpec(**values["clip"])})

    def differences(self, other: FeatureSpec) -> list[str]:
        """One line for each value that tells the two apart; empty when their features are comparable."""
        pairs = [(f.name, getattr(self, f.name), getattr(other, f.name)) for f in fields(self) if f.compare]
        lines = [f"{name} is {mine!r}, not {theirs!r}" for name, mine, theirs in pairs if mine != theirs]
        if self.weights_digest != other.weights_digest:
            lines.append(f"weights are {self.weights!r}, not {other.weights!r}")
        return lines


class FeatureStore:
    """The feature maps of many videos that one backbone made. Get one by `open`, `create` or `open_or_create`.

    A folder with a Zarr v3 group a video: `features` [clip, row, column, time, channel] float16, one clip a chunk,
    `clips_per_shard` a shard, zstd-1 without shuffle (it makes ReLU's zeros larger); `ticks` [clip, frame] int64.
    A video is in the store when its `attrs["stvr"]["state"]` says complete, which is written last.
    """

    def __init__(self, path: Path, spec: FeatureSpec, clips_per_shard: int) -> None:
        self.path, self.spec, self.clips_per_shard = path, spec, clips_per_shard
        self._groups: dict[str, zarr.Group] = {}  # complete videos that were asked for: these change no more

    @classmethod
    def create(cls, path: Path | str, spec: FeatureSpec, clips_per_shard: int = 64) -> FeatureStore:
        """Makes an empty store. FileExistsError when the folder already holds anything."""
        path = Path(path)
        if path.exists() and any(not entry.name.endswith(".partial") for entry in path.iterdir()):
            raise FileExistsError(f"{path} is not empty. Name a folder that is new, or open the store that is there.")
        values = {"format": FORMAT, "stvr": version("stvr"), "spec": spec.to_json(), "clips_per_shard": clips_per_shard}
        zarr.create_group(LocalStore(path), attributes={"stvr": values})
        return cls(path, spec, clips_per_shard)

    @classmethod
    def open(cls, path: Path | str) -> FeatureStore:
        """Opens a store. FileNotFoundError when there is none, ValueError when it is something else."""
        path = Path(path)
        if not (path / "zarr.json").is_file():
            raise FileNotFoundError(f"there is no feature store at {path}. Run `stvr extract --store {path}` first.")
        values = cast(dict[str, Any], zarr.open_group(LocalStore(path), mode="r").attrs.get("stvr", {}))
        if values.get("format") != FORMAT:
            raise ValueError(
                f"{path} is not a feature store of format {FORMAT} but of {values.get('format')}. Extract it anew."
            )
        return cls(path, FeatureSpec.from_json(values["spec"]), values["clips_per_shard"])

    @classmethod
    def open_or_create(cls, path: Path | str, spec: FeatureSpec, clips_per_shard: int = 64) -> FeatureStore:
        """The store at `path`, made when there is none. ValueError when one of another spec is there."""
        if not (Path(path) / "zarr.json").is_file():
            return cls.create(path, spec, clips_per_shard)
        store = cls.open(path)
        if lines := store.spec.differences(spec):
            raise ValueError(f"{path} holds other features: its {'; its '.join(lines)}. Give another --store.")
        return store

    def __contains__(self, video: object) -> bool:
        """Whether the video is there from its first clip to its last."""
        return isinstance(video, str) and self._find(video) is not None

    def videos(self) -> list[str]:
        """The complete videos, sorted."""
        return sorted(folder.name for folder in self.path.iterdir() if folder.is_dir() and folder.name in self)

    def num_clips(self, video: str) -> int:
        return self._features(video).shape[0]

    def info(self, video: str) -> dict[str, Any]:
        """What was noted when the video was written: its size in pixels, duration, source, versions."""
        return dict(cast(dict[str, Any], self._group(video).attrs["stvr"]))

    def ticks(self, video: str) -> NDArray[np.int64]:
        """[clip, frame]: when each chosen frame is shown, in the video's time base after its first frame."""
        return np.asarray(cast(zarr.Array[Any], self._group(video)["ticks"])[:])

    def read(self, span: Span) -> Tensor:
        """The feature maps of a span, (T, row, column, time, channel) float16. LookupError when they are not here."""
        features = self._features(span.video)
        if span.stop > features.shape[0]:
            raise LookupError(f"{span.video!r} has {features.shape[0]} clips here, not [{span.start}, {span.stop}).")
        return torch.from_numpy(np.asarray(features[span.start : span.stop]))

    @contextmanager
    def write(
        self, video: str, num_clips: int, map_shape: tuple[int, ...], info: Mapping[str, Any] | None = None
    ) -> Iterator[VideoWriter]:
        """Begins a video, or goes on where it was cut short; nobody else can write it meanwhile.

        map_shape: (row, column, time, channel). info: JSON values to keep; `digest` says which file it is made from.
        ValueError when the video is complete, half made from another file, or being written by another process.
        """
        if video.startswith((".", "__")) or "/" in video or video in ("", "zarr.json"):
            raise ValueError(f"{video!r} cannot be the name of a video in a store. Rename the file.")
        with _claim(self.path / ".claims" / video):
            if video in self:
                raise ValueError(f"{video!r} is complete in {self.path} already.")
            frames_per_clip, folder = self.spec.clip.frames_per_clip, self.path / video
            yield VideoWriter(folder, num_clips, map_shape, dict(info or {}), frames_per_clip, self.clips_per_shard)

    def _find(self, video: str) -> zarr.Group | None:
        if video not in self._groups and (self.path / video / "zarr.json").is_file():
            group = zarr.open_group(LocalStore(self.path / video), mode="r")
            if cast(dict[str, Any], group.attrs.get("stvr", {})).get("state") == "complete":
                self._groups[video] = group
        return self._groups.get(video)

    def _group(self, video: str) -> zarr.Group:
        group = self._find(video)
        if group is None:
            raise LookupError(f"{video!r} is not in this store. Run `stvr extract` on it first.")
        return group

    def _features(self, video: str) -> zarr.Array[Any]:
        return cast(zarr.Array[Any], self._group(video)["features"])


class VideoWriter:
    """Writes one video a whole shard at a time, in order; the first clip it wants is `next_clip`.

    Zarr renames a shard into place when it is written, so a shard that exists is complete. An array shorter than
    planned says that all clips are known: it is cut only when the last one has come.
    """

    def __init__(
        self,
        path: Path,
        num_clips: int,
        map_shape: tuple[int, ...],
        info: dict[str, Any],
        frames_per_clip: int,
        clips_per_shard: int,
    ) -> None:
        self._path, self._info, self.num_clips = path, {**info, "num_planned": num_clips}, num_clips
        self._map_shape, self._frames_per_clip, self._clips_per_shard = map_shape, frames_per_clip, clips_per_shard
        self._arrays: tuple[zarr.Array[Any], zarr.Array[Any]] | None = None
        for leftover in path.rglob("*.partial"):
            leftover.unlink()
        if (path / "zarr.json").is_file():
            self._resume()
        self._first, self._waiting = self._find_first_missing(), 0  # clips written, clips of the shard that is open
        self._shard = np.empty((clips_per_shard, *map_shape), np.float16)
        self._ticks = np.empty((clips_per_shard, frames_per_clip), np.int64)

    @property
    def next_clip(self) -> int:
        return self._first + self._waiting

    def append(self, features: Tensor | NDArray[np.float16], ticks: NDArray[np.int64]) -> None:
        """Takes the next clips: features (N, row, column, time, channel), ticks (N, frame)."""
        maps, missing = np.asarray(features), self.num_clips - self.next_clip
        if maps.shape[1:] != self._map_shape or ticks.shape != (len(maps), self._frames_per_clip):
            raise ValueError(
                f"{self._path.name!r} wants features (N, *{self._map_shape}) and ticks (N, {self._frames_per_clip}), "
                f"not {maps.shape} and {ticks.shape}."
            )
        if len(maps) > missing:
            raise ValueError(f"{self._path.name!r} has room for {missing} more clips, not for {len(maps)}.")
        for clip in range(len(maps)):
            self._shard[self._waiting], self._ticks[self._waiting] = maps[clip], ticks[clip]
            self._waiting += 1
            if self._waiting == self._clips_per_shard or self.next_clip == self.num_clips:
                self._flush()

    def complete(self, **notes: Any) -> None:
        """Says that no more clips will come and that the video is whole; `notes` go beside its info."""
        if self.next_clip == 0:
            raise ValueError(f"{self._path.name!r} has not one clip. Append its features first.")
        features, ticks = self._open_arrays()
        if self.next_clip < self.num_clips:  # cut first: a short last shard must not be taken for a whole one
            self.num_clips = self.next_clip
            features.resize((self.num_clips, *self._map_shape))
        if self._waiting:
            self._flush()
        ticks.resize((self.num_clips, self._frames_per_clip))
        values = {"state": "complete", "num_clips": self.num_clips, "stvr": version("stvr"), **self._info, **notes}
        zarr.open_group(LocalStore(self._path), mode="r+").attrs["stvr"] = values

    def _resume(self) -> None:
        values = cast(dict[str, Any], zarr.open_group(LocalStore(self._path), mode="r").attrs.get("stvr", {}))
        theirs, ours = ([source.get(name) for name in ("digest", "num_planned")] for source in (values, self._info))
        if theirs != ours:
            raise ValueError(
                f"half of {self._path.name!r} is there, made from {values.get('source')} with digest {theirs[0]} and "
                f"{theirs[1]} clips, not from {self._info.get('source')} with digest {ours[0]} and {ours[1]} clips. "
                f"Remove {self._path} or give another --store."
            )
        if (self._path / "features" / "zarr.json").is_file():
            shape = zarr.open_array(LocalStore(self._path / "features"), mode="r").shape
            if shape[1:] != self._map_shape:
                raise ValueError(f"{self._path} holds maps of {shape[1:]}, not of {self._map_shape}. Remove it.")
            self.num_clips = shape[0]

    def _find_first_missing(self) -> int:
        shard = 0
        while (self._path / "features" / "c" / f"{shard}/0/0/0/0").is_file():
            shard += 1
        return min(shard * self._clips_per_shard, self.num_clips)

    def _flush(self) -> None:
        features, ticks = self._open_arrays()
        stop = self._first + self._waiting
        ticks[self._first : stop] = self._ticks[: self._waiting]  # first: a shard of features says its ticks are there
        features[self._first : stop] = self._shard[: self._waiting]
        self._first, self._waiting = stop, 0

    def _open_arrays(self) -> tuple[zarr.Array[Any], zarr.Array[Any]]:
        """`features` and `ticks`, made at the first shard: a video that fails before leaves nothing behind."""
        if self._arrays is None:
            folder = LocalStore(self._path)
            if not (self._path / "zarr.json").is_file():
                zarr.create_group(folder, attributes={"stvr": {"state": "writing", **self._info}})
            group, shape = zarr.open_group(folder, mode="r+"), self._map_shape
            per_shard, num_frames = self._clips_per_shard, self._frames_per_clip
            self._arrays = (
                _open_or_create_array(
                    group, "features", (self.num_clips, *shape), np.float16, AXES,
                    chunks=(1, *shape), shards=(per_shard, *shape),
                ),
                _open_or_create_array(
                    group, "ticks", (self.num_clips, num_frames), np.int64, ("clip", "frame"),
                    chunks=(per_shard, num_frames),
                ),
            )  # fmt: skip
        return self._arrays


def _open_or_create_array(
    group: zarr.Group, name: str, shape: tuple[int, ...], dtype: type, axes: tuple[str, ...], **layout: tuple[int, ...]
) -> zarr.Array[Any]:
    written_even_if_zero = {"write_empty_chunks": True}  # else a shard of zeros would never exist
    if name in group:
        return cast(zarr.Array[Any], group[name]).with_config(cast(Any, written_even_if_zero))
    codec = ZstdCodec(level=1)
    return group.create_array(
        name, shape=shape, dtype=dtype, dimension_names=axes, compressors=codec, filters=None, fill_value=0,
        config=cast(Any, written_even_if_zero), **cast(Any, layout),
    )  # fmt: skip


@contextmanager
def _claim(path: Path) -> Iterator[None]:
    """Holds a video for this process. The system drops a lock when its holder dies, so none is ever stale."""
    claim = _lock(path)
    os.truncate(claim, 0)
    os.write(claim, f"process {os.getpid()} on {socket.gethostname()}".encode())
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        with suppress(OSError):  # others still hold theirs
            path.parent.rmdir()
        os.close(claim)


def _lock(path: Path) -> int:
    while True:
        path.parent.mkdir(exist_ok=True)
        try:
            claim = os.open(path, os.O_RDWR | os.O_CREAT)
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(claim), path.stat()):
                return claim
            os.close(claim)
        except FileNotFoundError:  # the one before has just let go and tidied up
            continue
        except BlockingIOError:
            holder = os.pread(claim, 200, 0).decode() or "another process"
            os.close(claim)
            raise ValueError(f"{path.name!r} is being written by {holder}. Run again when that has ended.") from None
