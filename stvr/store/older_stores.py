"""What stores of earlier releases do not say about themselves, read from their arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import log2
from typing import Any

from stvr.store.places import Place
from stvr.structures import MapSpec


def any_map_shape(place: Place) -> tuple[int, ...]:
    """(row, column, time, channel) of the videos of a store, finished or not. ValueError when there is none."""
    for video in sorted(place.folders()):
        content = place.read(f"{video}/features/zarr.json")
        if content is not None:
            return tuple(json.loads(content)["shape"][1:])
    raise ValueError(f"{place.path} was made by an earlier release and has no videos. Remove it and extract again.")


def stores_below(place: Place) -> list[str]:
    """Stores of one endpoint each, which one run filled in a folder that is no store itself; [] for anything else."""
    if place.read("zarr.json") is not None:
        return []
    try:
        folders = place.folders()
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(name for name in folders if _is_store(place.read(f"{name}/zarr.json")))


def refuse_folder_of_stores(place: Place) -> None:
    """FileNotFoundError that names the stores below a folder, where there are any."""
    if names := stores_below(place):
        raise FileNotFoundError(f"{place.path} holds a store for each endpoint, as earlier releases made them: "
                                f"{', '.join(names)}. Name one of them, such as {place.path}/{names[0]}.")


def _is_store(content: bytes | None) -> bool:
    try:
        return content is not None and "spec" in json.loads(content)["attributes"]["stvr"]
    except (ValueError, LookupError, TypeError):
        return False


def with_maps(spec: Mapping[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
    """The JSON values of a spec of format 1, which only names its endpoint, with the layout of its maps added.

    shape: (row, column, time, channel) of a clip. Strides were powers of two; pooled maps have one cell.
    """
    rows, columns, steps, channels = shape
    size = spec["clip"]["image_size"]
    stride = size if rows == columns == 1 else 2 ** round(log2(size / rows))
    maps = {spec["endpoint"]: {"stride": stride, "steps": steps, "channels": channels}}
    return {**{name: value for name, value in spec.items() if name != "endpoint"}, "maps": maps}


def map_of_checkpoint(endpoint: str, width: int) -> MapSpec:
    """Heads of format 1 read only I3D's Mixed_4c: 16 pixels a cell, two time steps, `width` channels in all."""
    return MapSpec(endpoint, 16, 2, width // 2)
