"""The described videos become one index: rows side by side, composed, what is similar to everything marked down."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from stvr.files import write_json
from stvr.heads.standardise import Standardise
from stvr.library.composition import Composition
from stvr.library.described import read_described
from stvr.library.described_videos import described, file_of
from stvr.library.faiss import LEAST_ROWS, write_rows_for_faiss
from stvr.library.hubs import hub_bias
from stvr.library.index import FAISS, FORMAT, NOTES, IndexedVideo, Rows, videos_as_json
from stvr.version import __version__

ROWS = "rows-"  # how folders of rows begin


def gather(folder: Path, spec: Mapping[str, Any], store: str, composition: Composition, usual: Standardise) -> None:
    """Writes the rows of all described videos, and last which these are; what an earlier run wrote is then removed.

    The same videos give the same bytes, in whatever order and by however many they were described.
    """
    notes = list(described(folder).values())
    files = [file_of(folder, each["name"]) for each in notes]
    name = ROWS + digest_of([str(composition), *notes])
    counts = [each["num_rows"] for each in notes]
    if not are_whole(folder / name, sum(counts)):
        shutil.rmtree(folder / name, ignore_errors=True)
        write_rows(folder / name, files, counts, composition, usual)
    videos = [indexed(each) for each in notes]
    write_json(folder / NOTES, {
        "format": FORMAT, "stvr": __version__, "composition": str(composition), "spec": spec, "store": store,
        "rows": name, "videos": videos_as_json(videos),
    })  # fmt: skip
    for other in folder.glob(f"{ROWS}*"):
        if other.name != name:
            shutil.rmtree(other)


def are_whole(place: Path, count: int) -> bool:
    """Whether so many rows can be read there."""
    try:
        return len(Rows.at(place)) == count
    except (OSError, ValueError):
        return False


def indexed(notes: Mapping[str, Any]) -> IndexedVideo:
    """A video of a store, which has no file, is called by its name."""
    values = {field: notes[field] for field in IndexedVideo.__dataclass_fields__}
    return IndexedVideo(**{**values, "path": notes["path"] or notes["name"]})


def write_rows(
    place: Path, files: Sequence[Path], counts: Sequence[int], composition: Composition, usual: Standardise
) -> None:
    """A folder of one array a file, which appears whole or not at all."""
    partial = place.with_name(f"{place.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    arrays = empty_rows(partial, sum(counts), len(usual.mean))
    last = 0
    for number, (file, count) in enumerate(zip(files, counts, strict=True)):
        rows, first, last = read_described(file), last, last + count
        arrays["video"][first:last] = number
        for name in ("start", "stop", "box", "kind"):
            arrays[name][first:last] = getattr(rows, name)
        arrays["vector"][first:last] = composed(rows.vector, composition, usual)
    arrays["bias"][:] = hub_bias(arrays["vector"], arrays["video"]) if composition.nnn else 0
    if composition.backend == "faiss" and last >= LEAST_ROWS:
        write_rows_for_faiss(partial / FAISS, arrays["vector"], arrays["bias"])
    for name, array in arrays.items():
        np.save(partial / f"{name}.npy", array) if not isinstance(array, np.memmap) else array.flush()
    partial.rename(place)


def empty_rows(place: Path, count: int, width: int) -> dict[str, NDArray[Any]]:
    """Arrays of that many rows by name, memory-mapped where they are kept."""
    shapes: dict[str, tuple[type, tuple[int, ...]]] = {
        "video": (np.int32, (count,)), "start": (np.int32, (count,)), "stop": (np.int32, (count,)),
        "box": (np.float32, (count, 4)), "kind": (np.uint8, (count,)), "bias": (np.float32, (count,)),
        "vector": (np.float16, (count, width)),
    }  # fmt: skip
    assert set(shapes) == set(Rows.__dataclass_fields__)
    if not count:  # there is no mapping of an empty file
        return {name: np.empty(shape, kind) for name, (kind, shape) in shapes.items()}
    return {name: np.lib.format.open_memmap(place / f"{name}.npy", "w+", kind, shape)
            for name, (kind, shape) in shapes.items()}  # fmt: skip


def composed(vectors: NDArray[np.float16], composition: Composition, usual: Standardise) -> NDArray[np.float16]:
    """Vectors (N, D) as the backbone gave them -> unit vectors, in units of what is usual where that is asked for."""
    values = torch.from_numpy(vectors).float()
    if composition.whiten:
        values = (values - usual.mean) / usual.deviation
    return F.normalize(values, dim=-1).half().numpy()


def digest_of(values: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
