"""FeatureStore: the feature maps of many videos on Zarr, the only door between extraction and heads."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
import zarr
from numpy.typing import NDArray
from torch import Tensor
from zarr.codecs import ZstdCodec
from zarr.storage import LocalStore

from stvr.structures import ClipSpec, Span

FORMAT = 1
AXES = ("row", "column", "time", "channel")  # of a clip's feature map


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """What made the features of a store: two stores with one spec are comparable.

    weights: what a person calls them; weights_digest: what they are. endpoint: where the backbone is cut.
    colour_order, resize: how frames are fed to it. flow: what computed the flow beside the features, and on pictures of
    which size ("ilk at 80 px"), or "none". flipped: whether the features of the mirrored frames are there too.
    """

    backbone: str
    weights: str = field(compare=False)
    weights_digest: str
    endpoint: str
    clip: ClipSpec
    colour_order: str = "RGB"
    resize: str = "bilinear"
    dtype: str = "float16"
    flow: str = "none"
    flipped: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> FeatureSpec:
        return cls(**{**values, "clip": ClipSpec(**values["clip"])})

    def differences(self, other: FeatureSpec, besides: Collection[str] = ()) -> list[str]:
        """One line for each value that tells the two apart; empty when their features are comparable.

        besides: fields that do not matter here. What the store has beside the features matters to some heads alone.
        """
        names = [field.name for field in fields(self) if field.compare and field.name not in besides]
        pairs = [(name, getattr(self, name), getattr(other, name)) for name in names]
        lines = [f"{name} is {mine!r}, not {theirs!r}" for name, mine, theirs in pairs if mine != theirs]
        if self.weights_digest != other.weights_digest:
            lines.append(f"weights are {self.weights!r}, not {other.weights!r}")
        return lines


class FeatureStore:
    """The feature maps of many videos that one backbone made. Get one by `open`, `create` or `open_or_create`.

    A folder with a Zarr v3 group a video: `features` [clip, row, column, time, channel] float16, one clip a chunk,
    `clips_per_shard` a shard, zstd-1 without shuffle (it makes ReLU's zeros larger); `ticks` [clip, frame] int64;
    where the spec says so `flow` [clip, row, column, direction] float16, and `features_flipped`, as `features`.
    A video is in the store when its `attrs["stvr"]["state"]` says complete, which is written last.
    """

    how_to_add = "Run `stvr extract` on the videos"

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

    def __str__(self) -> str:
        return str(self.path)

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

    def read(self, span: Span, flipped: bool = False) -> Tensor:
        """The feature maps of a span, (T, row, column, time, channel) float16. LookupError when they are not here.

        flipped: those of the frames mirrored left to right, which are not the mirrored features.
        """
        if flipped and not self.spec.flipped:
            raise LookupError(f"{self.path} has no features of mirrored frames. Extract with --flip to another store.")
        return self._read(span, "features_flipped" if flipped else "features")

    def read_flow(self, span: Span, flipped: bool = False) -> Tensor:
        """What moved since the clip before, (T, row, column, 2) float16, (y, x) in cells. LookupError without it.

        The cell (y, x) of clip t shows what was at (y, x) - flow at the end of clip t - 1 (in the first clip of a
        video: at its own beginning). flipped: of the mirrored frames.
        """
        if self.spec.flow == "none":
            raise LookupError(f"{self.path} has no flow. Extract with --flow ilk (or tvl1, raft) to another store.")
        flow = self._read(span, "flow")
        return flow.flip(2) * flow.new_tensor([1.0, -1.0]) if flipped else flow

    def _read(self, span: Span, name: str) -> Tensor:
        values = cast(zarr.Array[Any], self._group(span.video)[name])
        if span.stop > values.shape[0]:
            raise LookupError(f"{span.video!r} has {values.shape[0]} clips here, not [{span.start}, {span.stop}).")
        return torch.from_numpy(np.asarray(values[span.start : span.stop]))

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
            arrays = arrays_of(self.spec, map_shape)
            yield VideoWriter(self.path / video, num_clips, arrays, dict(info or {}), self.clips_per_shard)

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


class ArrayLayout(NamedTuple):
    """One array of a video, seen from one clip. sharded: a clip is a chunk of its own; else a whole shard is one."""

    axes: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: type
    sharded: bool


def arrays_of(spec: FeatureSpec, map_shape: tuple[int, ...]) -> dict[str, ArrayLayout]:
    """The arrays of a video in the order of writing: `features` come last, so where they are all are."""
    maps = ArrayLayout(AXES, tuple(map_shape), np.float16, sharded=True)
    arrays = {"ticks": ArrayLayout(("frame",), (spec.clip.frames_per_clip,), np.int64, sharded=False)}
    if spec.flow != "none":
        arrays["flow"] = ArrayLayout(("row", "column", "direction"), (*map_shape[:2], 2), np.float16, sharded=False)
    if spec.flipped:
        arrays["features_flipped"] = maps
    return {**arrays, "features": maps}


class VideoWriter:
    """Writes one video a whole shard at a time, in order; the first clip it wants is `next_clip`.

    Zarr renames a shard into place when it is written, so a shard that exists is complete. An array shorter than
    planned says that all clips are known: it is cut only when the last one has come.
    """

    def __init__(
        self, path: Path, num_clips: int, layout: dict[str, ArrayLayout], info: dict[str, Any], clips_per_shard: int
    ) -> None:  # fmt: skip
        self._path, self._info, self.num_clips = path, {**info, "num_planned": num_clips}, num_clips
        self._layout, self._clips_per_shard = layout, clips_per_shard
        self._arrays: dict[str, zarr.Array[Any]] | None = None
        for leftover in path.rglob("*.partial"):
            leftover.unlink()
        if (path / "zarr.json").is_file():
            self._resume()
        self._first, self._waiting = self._find_first_missing(), 0  # clips written, clips of the shard that is open
        self._shard: dict[str, NDArray[Any]]
        self._shard = {name: np.empty((clips_per_shard, *each.shape), each.dtype) for name, each in layout.items()}

    @property
    def next_clip(self) -> int:
        return self._first + self._waiting

    def append(
        self,
        features: Tensor | NDArray[np.float16],
        ticks: NDArray[np.int64],
        flow: NDArray[np.float16] | None = None,
        flipped: Tensor | NDArray[np.float16] | None = None,
    ) -> None:
        """Takes the next clips: features (N, row, column, time, channel), ticks (N, frame).

        flow (N, row, column, 2) and flipped, as features, where the spec of the store says that it has them.
        """
        given = {"features": features, "ticks": ticks, "flow": flow, "features_flipped": flipped}
        parts = {name: np.asarray(value) for name, value in given.items() if value is not None}
        count, missing = len(parts["features"]), self.num_clips - self.next_clip
        expected = {name: (count, *each.shape) for name, each in self._layout.items()}
        if {name: part.shape for name, part in parts.items()} != expected:
            wanted = ", ".join(f"{name} (N, {', '.join(map(str, each.shape))})" for name, each in self._layout.items())
            came = ", ".join(f"{name} {part.shape}" for name, part in parts.items())
            raise ValueError(f"{self._path.name!r} wants {wanted}; came {came}.")
        if count > missing:
            raise ValueError(f"{self._path.name!r} has room for {missing} more clips, not for {count}.")
        for clip in range(count):
            for name, part in parts.items():
                self._shard[name][self._waiting] = part[clip]
            self._waiting += 1
            if self._waiting == self._clips_per_shard or self.next_clip == self.num_clips:
                self._flush()

    def complete(self, **notes: Any) -> None:
        """Says that no more clips will come and that the video is whole; `notes` go beside its info."""
        if self.next_clip == 0:
            raise ValueError(f"{self._path.name!r} has not one clip. Append its features first.")
        arrays = self._open_arrays()
        if self.next_clip < self.num_clips:  # cut first: a short last shard must not be taken for a whole one
            self.num_clips = self.next_clip
            arrays["features"].resize((self.num_clips, *self._layout["features"].shape))
        if self._waiting:
            self._flush()
        for name, array in arrays.items():
            array.resize((self.num_clips, *self._layout[name].shape))
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
            if shape[1:] != self._layout["features"].shape:
                raise ValueError(
                    f"{self._path} holds maps of {shape[1:]}, not of {self._layout['features'].shape}. Remove it."
                )
            self.num_clips = shape[0]

    def _find_first_missing(self) -> int:
        shard = 0
        while (self._path / "features" / "c" / f"{shard}/0/0/0/0").is_file():
            shard += 1
        return min(shard * self._clips_per_shard, self.num_clips)

    def _flush(self) -> None:
        stop = self._first + self._waiting
        for name, array in self._open_arrays().items():  # features last
            array[self._first : stop] = self._shard[name][: self._waiting]
        self._first, self._waiting = stop, 0

    def _open_arrays(self) -> dict[str, zarr.Array[Any]]:
        """All arrays, made at the first shard: a video that fails before leaves nothing behind."""
        if self._arrays is None:
            folder = LocalStore(self._path)
            if not (self._path / "zarr.json").is_file():
                zarr.create_group(folder, attributes={"stvr": {"state": "writing", **self._info}})
            group = zarr.open_group(folder, mode="r+")
            self._arrays = {
                name: _open_or_create_array(group, name, self.num_clips, self._clips_per_shard, each)
                for name, each in self._layout.items()
            }
        return self._arrays


def _open_or_create_array(
    group: zarr.Group, name: str, num_clips: int, clips_per_shard: int, layout: ArrayLayout
) -> zarr.Array[Any]:
    written_even_if_zero = {"write_empty_chunks": True}  # else a shard of zeros would never exist
    if name in group:
        return cast(zarr.Array[Any], group[name]).with_config(cast(Any, written_even_if_zero))
    shard = (clips_per_shard, *layout.shape)
    return group.create_array(
        name, shape=(num_clips, *layout.shape), dtype=layout.dtype, dimension_names=("clip", *layout.axes),
        chunks=(1, *layout.shape) if layout.sharded else shard, shards=shard if layout.sharded else None,
        compressors=ZstdCodec(level=1), filters=None, fill_value=0, config=cast(Any, written_even_if_zero),
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
