"""Write a store to one file of another format, and read it back. Every array stays as it is kept, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from stvr.files import whole
from stvr.store.arrays import arrays_of, maps_name
from stvr.store.containers import DAMAGE, FORMATS, Array, File
from stvr.store.features import FORMAT, FeatureStore
from stvr.store.names import folder_of
from stvr.store.older_stores import with_maps
from stvr.store.quantize import WRITTEN_ANEW, spans
from stvr.structures import FeatureSpec
from stvr.version import __version__


def export_features(
    store: FeatureStore, path: Path, file_format: str, tell: Callable[[str], None] = lambda video: None
) -> int:
    """Writes all videos of a store to one file, which appears whole or not at all; returns how many.

    Holds one shard in memory.
    """
    if file_format not in FORMATS:
        raise LookupError(f"there is no format {file_format!r}. Choose one of {', '.join(FORMATS)}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    videos = store.videos()
    header = {"format": FORMAT, "stvr": __version__, "spec": store.spec.to_json(),
              "clips_per_shard": store.clips_per_shard, "videos": {video: store.info(video) for video in videos}}
    with whole(path) as partial, closing(FORMATS[file_format].create(partial)) as file:
        for video in videos:
            for name, layout in arrays_of(store.spec, store.map_shapes(video)).items():
                parts = (store.read_part(span, name) for _, span in spans(store, video))
                shape = store.num_clips(video), *layout.shape
                file.write(f"{folder_of(video)}/{name}", shape, np.dtype(layout.dtype), parts)
            tell(video)
        file.write_header(header)
    return len(videos)


def import_features(path: Path, out: Path | str, tell: Callable[[str], None] = lambda video: None) -> FeatureStore:
    """Makes a store of an exported file, or adds its videos to an existing store of the same spec.

    Holds one shard in memory. ValueError when the file or the store at `out` is of another kind.
    """
    with closing(_opened(path)) as file:
        header = _header(file, path)
        store = FeatureStore.open_or_create(out, FeatureSpec.from_json(header["spec"]), header["clips_per_shard"])
        for video, info in header["videos"].items():
            if video not in store:
                _import(file, path, store, video, info)
            elif store.info(video).get("digest") != info.get("digest"):
                raise ValueError(f"{video!r} is already in {store}, but made from another video file than the one in "
                                 f"{path}. Give another --out.")
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


def _import(file: File, path: Path, store: FeatureStore, video: str, info: Mapping[str, Any]) -> None:
    first = {name: next(_read(file, path, f"{folder_of(video)}/{maps_name(store.spec, name)}", 1))
             for name in store.spec.endpoints}  # fmt: skip
    shapes = {name: clip.shape[1:] for name, clip in first.items()}
    notes = {name: value for name, value in info.items() if name not in WRITTEN_ANEW}
    with store.write(video, info["num_clips"], shapes, notes) as writer:
        names = list(arrays_of(store.spec, shapes))
        arrays = (_read(file, path, f"{folder_of(video)}/{name}", store.clips_per_shard) for name in names)
        for shard, parts in enumerate(zip(*arrays, strict=True)):
            if shard in writer.missing:
                writer.append_parts(dict(zip(names, parts, strict=True)))
        writer.complete(num_planned=info["num_planned"])


def _read(file: File, path: Path, name: str, size: int) -> Iterator[Array]:
    """The parts of one array. ValueError when the file is damaged there."""
    try:
        yield from file.read(name, size)
    except DAMAGE as error:
        raise ValueError(f"{path} is damaged: {name} cannot be read ({error}). Export the store again.") from error


def _opened(path: Path) -> File:
    if not path.is_file():
        reason = "is a folder" if path.is_dir() else "does not exist"
        raise FileNotFoundError(f"{path} {reason}. Name a file that `stvr store export` made.")
    for each in FORMATS.values():
        if each.recognises(path):
            try:
                return each.open(path)
            except DAMAGE as error:
                raise ValueError(f"{path} is damaged: {error}. Export the store again.") from error
    raise ValueError(f"{path}: wanted an HDF5 or npz file that `stvr store export` made, got something else.")


def _header(file: File, path: Path) -> dict[str, Any]:
    try:
        header = dict(file.header())
    except (*DAMAGE, TypeError):
        header = {}
    if header.get("format") == 1:
        video = next(iter(header["videos"]), None)
        if video is None:
            raise ValueError(f"{path} was made by an earlier release and has no videos. Export the store again.")
        shape = next(_read(file, path, f"{video}/features", 1)).shape[1:]
        return {**header, "format": FORMAT, "spec": with_maps(header["spec"], shape)}
    if header.get("format") != FORMAT:
        raise ValueError(f"{path}: wanted a file that `stvr store export` made, got one of another program, "
                         "which does not say how its arrays were made.")
    return header
