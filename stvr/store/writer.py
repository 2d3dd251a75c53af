"""Write one video into a store, a whole shard at a time."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import zarr
from numpy.typing import NDArray
from torch import Tensor
from zarr.codecs import ZstdCodec

from stvr.store.arrays import ArrayLayout, Shapes, arrays_of, by_endpoint, maps_name, marker_of
from stvr.store.codes import encode
from stvr.store.places import Place
from stvr.structures import FeatureSpec
from stvr.version import __version__

Maps = Tensor | NDArray[np.float16]
MADE_BY = ("digest", "num_planned", "precision")  # what all shards of a video have in common


class VideoWriter:
    """Takes the clips of the shards that are missing, in order; the first clip it wants is `next_clip`.

    A shard that exists is complete. An array shorter than planned means that the number of clips is known: it is cut
    only after the last clip was given. check: raises when we may not write the video any more.
    """

    def __init__(
        self, place: Place, video: str, num_clips: int, spec: FeatureSpec, shapes: Shapes, info: dict[str, Any],
        clips_per_shard: int, check: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._place, self._video, self._check, self._spec = place, video, check, spec
        layout, self._marker = arrays_of(spec, shapes), marker_of(spec)
        self._info, self.num_clips = {**info, "num_planned": num_clips}, num_clips
        self._layout, self._clips_per_shard = layout, clips_per_shard
        self._arrays: dict[str, zarr.Array[Any]] | None = None
        place.tidy(video)
        self._earlier = notes_of(place, video)
        if self._earlier is not None:
            self._resume(self._earlier)
        self._missing, self._waiting = self._find_missing(), 0  # shards to write; clips of the first one so far
        self._shard: dict[str, NDArray[Any]]
        self._shard = {name: np.empty((clips_per_shard, *each.shape), each.dtype) for name, each in layout.items()}

    @property
    def next_clip(self) -> int:
        return self._first + self._waiting

    @property
    def noted(self) -> dict[str, Any]:
        """What an earlier writer of the video noted; it has `decode_errors` when the video was complete once."""
        return dict(self._earlier or {})

    @property
    def num_wanted(self) -> int:
        """How many clips are still missing."""
        return sum(map(self._size_of, self._missing)) - self._waiting

    @property
    def missing(self) -> frozenset[int]:
        """The shards that are still to be written: clip k lies in shard k // clips_per_shard."""
        return frozenset(self._missing)

    def append(
        self,
        features: Maps | Mapping[str, Maps],
        ticks: NDArray[np.int64],
        flow: NDArray[np.float16] | None = None,
        flipped: Maps | Mapping[str, Maps] | None = None,
    ) -> None:
        """Takes the next clips that are wanted: features (N, row, column, time, channel), ticks (N, frame).

        flow (N, row, column, 2) and flipped, shaped like features: where the spec of the store names them. Features of
        several endpoints are given by endpoint.
        """
        parts: dict[str, NDArray[Any]] = {"ticks": ticks}
        if flow is not None:
            parts["flow"] = flow
        for given, mirrored in ((features, False), (flipped, True)):
            for endpoint, maps in by_endpoint(self._spec, given).items() if given is not None else ():
                coded = encode(np.asarray(maps), self._spec.compress)
                parts |= {maps_name(self._spec, endpoint, mirrored, part): each for part, each in coded.items()}
        self.append_parts(parts)

    def append_parts(self, parts: Mapping[str, NDArray[Any]]) -> None:
        """Takes the next clips in the form they are kept: every array of the video's layout by name, (N, ...)."""
        count = len(parts[self._marker])
        expected = {name: (count, *each.shape) for name, each in self._layout.items()}
        if {name: part.shape for name, part in parts.items()} != expected:
            wanted = ", ".join(f"{name} (N, {', '.join(map(str, each.shape))})" for name, each in self._layout.items())
            given = ", ".join(f"{name} {part.shape}" for name, part in parts.items())
            raise ValueError(f"{self._video!r} wants {wanted}; got {given}.")
        if count > self.num_wanted:
            raise ValueError(f"{self._video!r} has room for {self.num_wanted} more clips, not for {count}.")
        for clip in range(count):
            for name, part in parts.items():
                self._shard[name][self._waiting] = part[clip]
            self._waiting += 1
            if self._waiting == self._size_of(self._missing[0]):
                self._flush()

    def complete(self, **notes: Any) -> None:
        """Marks the video as whole: there are no more clips. `notes` are kept beside its info."""
        if self.next_clip == 0:
            raise ValueError(f"{self._video!r} has no clips yet. Append its features first.")
        arrays = self._open_arrays()
        if self._missing:
            self._cut(arrays)
        for name, array in arrays.items():
            array.resize((self.num_clips, *self._layout[name].shape))
        values = {"state": "complete", "num_clips": self.num_clips, "stvr": __version__, **self._info, **notes}
        zarr.open_group(self._place.zarr(), path=self._video, mode="r+").attrs["stvr"] = values

    def _cut(self, arrays: dict[str, zarr.Array[Any]]) -> None:
        """Ends the video at the last clip given, before it is written: its shard must not be taken for a whole one."""
        if len(self._missing) < self._num_shards - self._missing[0]:
            raise ValueError(f"{self._video!r} now ends at clip {self.next_clip}, but had {self.num_clips} clips "
                             f"before. Remove {self._place.path}/{self._video} and extract it again.")
        self.num_clips = self.next_clip
        arrays[self._marker].resize((self.num_clips, *self._layout[self._marker].shape))
        if self._waiting:
            self._flush()
        self._missing.clear()

    def _resume(self, earlier: dict[str, Any]) -> None:
        if any(earlier.get(name) != self._info.get(name) for name in MADE_BY):
            raise ValueError(
                f"part of {self._video!r} is there, made from {_origin(earlier)}, not from {_origin(self._info)}. "
                f"Remove {self._place.path}/{self._video} or give another --store."
            )
        if self._place.read(f"{self._video}/{self._marker}/zarr.json") is not None:
            shape = zarr.open_array(self._place.zarr(), path=f"{self._video}/{self._marker}", mode="r").shape
            if shape[1:] != self._layout[self._marker].shape:
                raise ValueError(
                    f"{self._place.path}/{self._video} holds maps of {shape[1:]}, not of "
                    f"{self._layout[self._marker].shape}. Remove it and extract the video again."
                )
            self.num_clips = shape[0]

    @property
    def _num_shards(self) -> int:
        return -(-self.num_clips // self._clips_per_shard)

    @property
    def _first(self) -> int:
        """The first clip of the next shard to write."""
        return self._missing[0] * self._clips_per_shard if self._missing else self.num_clips

    def _size_of(self, shard: int) -> int:
        return min(self._clips_per_shard, self.num_clips - shard * self._clips_per_shard)

    def _find_missing(self) -> deque[int]:
        existing = self._place.keys(f"{self._video}/{self._marker}") if self._earlier is not None else set()
        key = self._layout[self._marker].shard_key
        return deque(shard for shard in range(self._num_shards) if key(shard) not in existing)

    def _flush(self) -> None:
        self._check()
        start, stop = self._first, self.next_clip
        for name, array in self._open_arrays().items():  # the marker last
            array[start:stop] = self._shard[name][: self._waiting]
        self._missing.popleft()
        self._waiting = 0

    def _open_arrays(self) -> dict[str, zarr.Array[Any]]:
        """All arrays, created with the first shard: a video that fails before that leaves nothing behind."""
        if self._arrays is None:
            if self._earlier is None:
                values = {"stvr": {"state": "writing", **self._info}}
                zarr.create_group(self._place.zarr(), path=self._video, attributes=values)
            group = zarr.open_group(self._place.zarr(), path=self._video, mode="r+")
            self._arrays = {
                name: _open_or_create_array(group, name, self.num_clips, self._clips_per_shard, each)
                for name, each in self._layout.items()
            }
        return self._arrays


def notes_of(place: Place, video: str) -> dict[str, Any] | None:
    """What is noted of a video, complete or not; None when nothing of it is there. ValueError when it is garbled."""
    content = place.read(f"{video}/zarr.json")
    try:
        return None if content is None else dict(json.loads(content)["attributes"]["stvr"])
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{place.path}/{video}/zarr.json is garbled. Run `stvr repair`.") from None


def _origin(info: dict[str, Any]) -> str:
    return (f"{info.get('source')} with digest {info.get('digest')} and {info.get('num_planned')} clips"
            + (f" in {info['precision']}" if "precision" in info else ""))


def _open_or_create_array(
    group: zarr.Group, name: str, num_clips: int, clips_per_shard: int, layout: ArrayLayout
) -> zarr.Array[Any]:
    written_even_if_zero = {"write_empty_chunks": True}  # otherwise a shard of zeros would never exist
    if name in group:
        return cast("zarr.Array[Any]", group[name]).with_config(cast(Any, written_even_if_zero))
    shard = (clips_per_shard, *layout.shape)
    return group.create_array(
        name, shape=(num_clips, *layout.shape), dtype=layout.dtype, dimension_names=("clip", *layout.axes),
        chunks=(1, *layout.shape) if layout.sharded else shard, shards=shard if layout.sharded else None,
        compressors=ZstdCodec(level=1, checksum=True), filters=None, fill_value=0,
        config=cast(Any, written_even_if_zero),
    )  # fmt: skip
