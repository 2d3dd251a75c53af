"""What made the features of a store, and which arrays a video has."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np

from stvr.store.former import settled_digest
from stvr.structures import ClipSpec

AXES = ("row", "column", "time", "channel")  # of a clip's feature map


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """What made the features of a store: two stores with one spec are comparable.

    weights: what a person calls them; weights_digest: what they are. endpoint: where the backbone is cut.
    colour_order, resize: how frames are fed to it. flow: what computed the flow beside the features, and on pictures of
    which size ("ilk at 80 px"), or "none". flipped: whether the features of the mirrored frames are there too.
    compress: how the features are kept, a name on the menu of `stvr.store.codes`; all but "lossless" have an error.
    decoder: what made pictures of the files. frame_times: which frame stands at each 1/fps second ("nearest").
    Whatever may differ between two videos of one store is noted with each video: its digest, precision, versions.
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
    decoder: str = "pyav"
    frame_times: str = "nearest"
    compress: str = "lossless"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> FeatureSpec:
        weights_digest = settled_digest(values["weights_digest"])
        return cls(**{**values, "clip": ClipSpec(**values["clip"]), "weights_digest": weights_digest})

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
