"""Which arrays a video has, and how they become what heads read."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor

from stvr.structures import FeatureSpec

AXES = ("row", "column", "time", "channel")  # of a clip's feature map


def as_stored(maps: Tensor) -> Tensor:
    """A backbone's output (B, time, row, column, channel) as a store keeps it: (B, row, column, time, channel)."""
    return maps.permute(0, 2, 3, 1, 4)


def as_maps(stored: Tensor) -> Tensor:
    """Stored maps (..., row, column, time, channel) as heads read them: (..., H, W, C), time steps side by side.

    Every reader of features goes through here: from a store, from a file, in finetuning.
    """
    return stored.flatten(-2).float()


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


def arrays_of(spec: FeatureSpec, map_shape: tuple[int, ...]) -> dict[str, ArrayLayout]:
    """The arrays of a video in the order of writing: `features` come last, so where they exist, all others do."""
    maps = maps_of(spec.compress, tuple(map_shape))
    arrays = {"ticks": ArrayLayout(("frame",), (spec.clip.frames_per_clip,), np.int64, sharded=False)}
    if spec.flow != "none":
        arrays["flow"] = ArrayLayout(("row", "column", "direction"), (*map_shape[:2], 2), np.float16, sharded=False)
    for name in ("features_flipped", "features") if spec.flipped else ("features",):
        arrays |= {part_name(name, part): layout for part, layout in maps.items()}
    return arrays


def maps_of(compress: str, shape: tuple[int, ...]) -> dict[str, ArrayLayout]:
    """What a code makes of maps of one shape, the maps themselves last."""
    if compress != "int8":
        return {"": ArrayLayout(AXES, shape, np.float16, sharded=True)}
    levels = ArrayLayout(("bound", "channel"), (2, shape[-1]), np.float32, sharded=False)
    return {"levels": levels, "": ArrayLayout(AXES, shape, np.uint8, sharded=True)}


def part_name(name: str, part: str) -> str:
    """The array that holds a part of coded maps."""
    return f"{name}_{part}" if part else name
