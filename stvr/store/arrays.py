"""Which arrays a video has, and how they become what heads read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeVar
from urllib.parse import quote

import numpy as np
from torch import Tensor

from stvr.structures import FeatureSpec

T = TypeVar("T")
Shapes = Mapping[str, tuple[int, ...]]  # endpoint -> (row, column, time, channel) of a clip's map
AXES = ("row", "column", "time", "channel")  # of a clip's feature map


def as_stored(maps: Tensor) -> Tensor:
    """A backbone's output (B, time, row, column, channel) as a store keeps it: (B, row, column, time, channel)."""
    return maps.permute(0, 2, 3, 1, 4)


def as_maps(stored: Tensor) -> Tensor:
    """Stored maps (..., row, column, time, channel) as heads read them: (..., H, W, C), time steps side by side.

    Every reader of features goes through here: from a store, from a file, in finetuning.
    """
    return stored.flatten(-2).float()


def steps_apart(maps: Tensor, spec: FeatureSpec, endpoint: str) -> Tensor:
    """The inverse of `as_maps`, as a view: maps (..., H, W, C) -> (..., row, column, time, channel)."""
    return maps.unflatten(-1, (spec.only([endpoint]).map.steps, -1))


class ArrayLayout(NamedTuple):
    """One array of a video, described for one clip. sharded: each clip is a chunk; else a whole shard is one chunk."""

    axes: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: type
    sharded: bool

    def shard_key(self, shard: int) -> str:
        return shard_key(shard, len(self.shape))


def shard_key(shard: int, axes: int) -> str:
    """Where Zarr puts a shard, below an array of `axes` axes beside the first: "c/3/0/0"."""
    return "/".join(["c", str(shard), *["0"] * axes])


def arrays_of(spec: FeatureSpec, shapes: Shapes) -> dict[str, ArrayLayout]:
    """The arrays of a video in the order of writing: where a shard of the last exists, it exists of all others."""
    arrays = {"ticks": ArrayLayout(("frame",), (spec.clip.frames_per_clip,), np.int64, sharded=False)}
    if spec.flow != "none":
        grid = tuple(shapes[spec.finest.endpoint][:2])
        arrays["flow"] = ArrayLayout(("row", "column", "direction"), (*grid, 2), np.float16, sharded=False)
    for endpoint, flipped in views_of(spec):
        coded = coded_maps(spec.compress, tuple(shapes[endpoint]))
        arrays |= {maps_name(spec, endpoint, flipped, part): layout for part, layout in coded.items()}
    return arrays


def views_of(spec: FeatureSpec) -> list[tuple[str, bool]]:
    """(endpoint, whether of mirrored frames) of all maps of a video, in the order of writing."""
    return [(endpoint, flipped) for flipped in ((True, False) if spec.flipped else (False,))
            for endpoint in spec.endpoints]  # fmt: skip


def marker_of(spec: FeatureSpec) -> str:
    """The array that is written last: its shards say which shards are whole, its length how many clips there are."""
    return maps_name(spec, spec.endpoints[-1])


def maps_name(spec: FeatureSpec, endpoint: str, flipped: bool = False, part: str = "") -> str:
    """The array that holds the maps of an endpoint, or a part of them where they are coded.

    "features" where the spec has one endpoint, "features.Mixed_4c" where it has several; characters that a file name
    or a key cannot have are percent-encoded.
    """
    view = "features_flipped" if flipped else "features"
    name = f"{view}_{part}" if part else view
    return name if len(spec.maps) == 1 else f"{name}.{quote(endpoint, safe='')}"


def coded_maps(compress: str, shape: tuple[int, ...]) -> dict[str, ArrayLayout]:
    """What a code makes of maps of one shape, the maps themselves last."""
    if compress != "int8":
        return {"": ArrayLayout(AXES, shape, np.float16, sharded=True)}
    levels = ArrayLayout(("bound", "channel"), (2, shape[-1]), np.float32, sharded=False)
    return {"levels": levels, "": ArrayLayout(AXES, shape, np.uint8, sharded=True)}


def by_endpoint(spec: FeatureSpec, given: Mapping[str, T] | T) -> dict[str, T]:
    """What is given of each endpoint, by its name; of a spec with one endpoint it may be given as it is."""
    if not isinstance(given, Mapping):
        return {spec.map.endpoint: given}
    if given.keys() != set(spec.endpoints):
        raise ValueError(f"wanted {spec.endpoint}, got {', '.join(given)}. Give each of them.")
    return dict(given)
