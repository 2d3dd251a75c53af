"""What made the features of a store, and which arrays a video has."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from stvr.structures import ClipSpec, MapSpec

AXES = ("row", "column", "time", "channel")  # of a clip's feature map


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """What made the features of a store: two stores with one spec are comparable.

    weights: what a person calls them; weights_digest: what they are. maps: one for each endpoint that is kept.
    colour_order, resize: how frames are fed to it. flow: what computed the flow beside the features, and on pictures of
    which size ("ilk at 80 px"), or "none". flipped: whether the features of the mirrored frames are there too.
    compress: how the features are kept, a name on the menu of `stvr.store.codes`; all but "lossless" have an error.
    decoder: what made pictures of the files. frame_times: which frame stands at each 1/fps second ("nearest").
    Whatever may differ between two videos of one store is noted with each video: its digest, precision, versions.
    """

    backbone: str
    weights: str = field(compare=False)
    weights_digest: str
    maps: tuple[MapSpec, ...]
    clip: ClipSpec
    colour_order: str = "RGB"
    resize: str = "bilinear"
    dtype: str = "float16"
    flow: str = "none"
    flipped: bool = False
    decoder: str = "pyav"
    frame_times: str = "nearest"
    compress: str = "lossless"

    @property
    def endpoint(self) -> str:
        """Where the backbone was cut, as `stvr extract --endpoint` takes it."""
        return ",".join(each.endpoint for each in self.maps)

    @property
    def map(self) -> MapSpec:
        """The one map of a store that keeps one endpoint. ValueError where there are several."""
        if len(self.maps) != 1:
            raise ValueError(f"wanted features of one endpoint, got {self.endpoint}. Choose one of them.")
        return self.maps[0]

    def to_json(self) -> dict[str, Any]:
        values = asdict(self)
        return values | {"maps": {each.pop("endpoint"): each for each in values["maps"]}}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> FeatureSpec:
        maps = tuple(MapSpec(endpoint, **each) for endpoint, each in values["maps"].items())
        return cls(**{**values, "maps": maps, "clip": ClipSpec(**values["clip"])})

    def differences(self, other: FeatureSpec, besides: Collection[str] = ()) -> list[str]:
        """One line for each value that tells the two apart; empty when their features are comparable.

        besides: fields that do not matter here. What the store has beside the features matters to some heads alone.
        """
        names = [field.name for field in fields(self) if field.compare and field.name not in {"maps", *besides}]
        pairs = [(name, getattr(self, name), getattr(other, name)) for name in names]
        lines = [f"{name} is {mine!r}, not {theirs!r}" for name, mine, theirs in pairs if mine != theirs]
        if self.endpoint != other.endpoint:
            lines.append(f"endpoint is {self.endpoint!r}, not {other.endpoint!r}")
        elif self.maps != other.maps:
            lines.append(f"maps are {self.maps}, not {other.maps}")
        if self.weights_digest != other.weights_digest:
            lines.append(f"weights are {self.weights!r}, not {other.weights!r}")
        return lines


def as_stored(maps: Tensor) -> Tensor:
    """What a backbone gives, (B, time, row, column, channel), as a store keeps it: (B, row, column, time, channel)."""
    return maps.permute(0, 2, 3, 1, 4)


def as_maps(stored: Tensor) -> Tensor:
    """Stored maps (..., row, column, time, channel) as heads read them: (..., H, W, C), time steps side by side.

    Every reader of features comes through here: from a store, from a file, in finetuning.
    """
    return stored.flatten(-2).float()


class ArrayLayout(NamedTuple):
    """One array of a video, seen from one clip. sharded: a clip is a chunk of its own; else a whole shard is one."""

    axes: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: type
    sharded: bool

    def shard_key(self, shard: int) -> str:
        """Where Zarr puts a shard, below the array: "c/3/0/0"."""
        return "/".join(["c", str(shard), *["0"] * len(self.shape)])


def arrays_of(spec: FeatureSpec, map_shape: tuple[int, ...]) -> dict[str, ArrayLayout]:
    """The arrays of a video in the order of writing: `features` come last, so where they are all are."""
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
