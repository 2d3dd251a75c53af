"""A store as one file of another format, and back. Every array goes as it is kept, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from stvr.files import whole
from stvr.store.containers import FORMATS, File
from stvr.store.features import FORMAT, FeatureStore
from stvr.store.quantize import WRITTEN_ANEW, map_shape, spans
from stvr.store.spec import FeatureSpec, arrays_of
from stvr.version import __version__


def export_features(
    store: FeatureStore, path: Path, file_format: str, tell: Callable[[str], None] = lambda video: None
) -> int:
    """Writes all videos of a store to one file, whole or not at all; how many. Holds one shard."""
    if file_format not in FORMATS:
        raise LookupError(f"there is no format {file_format!r}. Choose one of {', '.join(FORMATS)}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    videos = store.videos()
    header = {"format": FORMAT, "stvr": __version__, "spec": store.spec.to_json(),
              "clips_per_shard": store.clips_per_shard, "videos": {video: store.info(video) for video in videos}}
    with whole(path) as partial, closing(FORMATS[file_format].create(partial)) as file:
        for video in videos:
            for name, layout in arrays_of(store.spec, map_shape(store, video)).items():
                parts = (store.read_part(span, name) for _, span in spans(store, video))
                file.write(f"{video}/{name}", (store.num_clips(video), *layout.shape), np.dtype(layout.dtype), parts)
            tell(video)
        file.write_header(header)
    return len(videos)


def import_features(path: Path, out: Path | str, tell: Callable[[str], None] = lambda video: None) -> FeatureStore:
    """The store that was exported to a file, or more videos of its kind for one that is there. Holds one shard."""
    with closing(_opened(path)) as file:
        header = _header(file, path)
        store = FeatureStore.open_or_create(out, FeatureSpec.from_json(header["spec"]), header["clips_per_shard"])
        for video, info in header["videos"].items():
            if video not in store:
                _import(file, store, video, info)
            elif store.info(video).get("digest") != info.get("digest"):
                raise ValueError(f"{video!r} is in {store} already, made from another file than in {path}. "
                                 "Give another --out.")
            tell(video)
    return store


def describe_export(path: Path) -> dict[str, Any]:
    """What an exported file holds, as JSON values."""
    with closing(_opened(path)) as file:
        header = _header(file, path)
    clips = sum(info["num_clips"] for info in header["videos"].values())
    return {"kind": "exported store", "spec": header["spec"], "videos": len(header["videos"]), "clips": clips}


def is_export(path: Path) -> bool:
    return path.is_file() and any(each.recognises(path) for each in FORMATS.values())


def _import(file: File, store: FeatureStore, video: str, info: Mapping[str, Any]) -> None:
    shape = file.shape(f"{video}/features")[1:]
    notes = {name: value for name, value in info.items() if name not in WRITTEN_ANEW}
    with store.write(video, info["num_clips"], shape, notes) as writer:
        names = list(arrays_of(store.spec, shape))
        size = store.clips_per_shard
        for shard, parts in enumerate(zip(*(file.read(f"{video}/{name}", size) for name in names), strict=True)):
            if shard in writer.missing:
                writer.append_parts(dict(zip(names, parts, strict=True)))
        writer.complete(num_planned=info["num_planned"])


def _opened(path: Path) -> File:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there. Name a file that `stvr store export` made.")
    for each in FORMATS.values():
        if each.recognises(path):
            return each.open(path)
    raise ValueError(f"{path}: wanted an HDF5 or npz file that `stvr store export` made, came something else.")


def _header(file: File, path: Path) -> dict[str, Any]:
    try:
        header = dict(file.header())
    except (KeyError, ValueError, TypeError):
        header = {}
    if header.get("format") != FORMAT:
        raise ValueError(f"{path}: wanted a file that `stvr store export` made, came one of another program. "
                         "Its arrays alone do not say what made them.")
    return header
