"""Check that a store holds what it says it holds, just as it was written."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import zarr
from google_crc32c import value as crc32c
from numpy.typing import NDArray

from stvr.store.arrays import ArrayLayout, arrays_of, marker_of
from stvr.store.features import FeatureStore
from stvr.store.names import folder_of, video_of
from stvr.store.writer import notes_of

ABSENT = 2**64 - 1  # in the index of a shard: a chunk that was never written


@dataclass(frozen=True, slots=True)
class Fault:
    """What is broken: one shard of a video, or the whole video where `shard` is None."""

    video: str
    shard: int | None
    reason: str

    def __str__(self) -> str:
        where = "" if self.shard is None else f", shard {self.shard}"
        return f"{self.video}{where}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found in a store.

    complete: how many videos are. unfinished: videos that the next extraction continues. unsigned: videos without
    checksums.
    """

    complete: int
    faults: tuple[Fault, ...]
    unfinished: tuple[str, ...]
    unsigned: tuple[str, ...]


def check_all(store: FeatureStore, tell: Callable[[float, str], None] = lambda share, text: None) -> Checked:
    """Checks every video. `tell` is called with the share that is done and the video being checked."""
    names, complete = sorted(map(video_of, store.place.folders())), set(store.videos())
    faults, unfinished, unsigned = list[Fault](), list[str](), list[str]()
    for number, video in enumerate(names):
        tell(number / len(names), video)
        if video in complete or store.is_garbled(video):
            faults += (found := check(store, video))
            if not found and not has_checksums(store, video):
                unsigned.append(video)
        else:
            unfinished.append(video)
    return Checked(len(complete), tuple(faults), tuple(unfinished), tuple(unsigned))


def check(store: FeatureStore, video: str) -> list[Fault]:
    """Checks every chunk of a video against its checksum, and its arrays against the spec of the store."""
    try:
        notes_of(store.place, folder_of(video))
        arrays = dict(_arrays(store, video))
    except (ValueError, LookupError, TypeError, OSError) as error:
        return [Fault(video, None, str(error))]
    faults: dict[int, Fault] = {}
    for name, (array, layout) in arrays.items():
        for shard in range(-(-store.num_clips(video) // store.clips_per_shard)):
            if shard not in faults and (reason := _fault(store, video, name, array, layout, shard)):
                faults[shard] = Fault(video, shard, f"{name}: {reason}")
    return [faults[shard] for shard in sorted(faults)]


def has_checksums(store: FeatureStore, video: str) -> bool:
    """Whether the chunks of a video carry checksums; only stores older than `stvr verify` have none."""
    array = cast("zarr.Array[Any]", store.group(video)[marker_of(store.spec)])
    return all(getattr(codec, "checksum", False) for codec in array.compressors)


def _arrays(store: FeatureStore, video: str) -> Iterator[tuple[str, tuple[zarr.Array[Any], ArrayLayout]]]:
    """The arrays that the spec names, with their layout. ValueError for one that does not have that layout."""
    group, num_clips = store.group(video), store.num_clips(video)
    for name, layout in arrays_of(store.spec, store.map_shapes(video)).items():
        array = cast("zarr.Array[Any]", group[name])
        shard = array.shards if layout.sharded else array.chunks
        actual = (array.shape, array.dtype, shard)
        expected = ((num_clips, *layout.shape), np.dtype(layout.dtype), (store.clips_per_shard, *layout.shape))
        if actual != expected:
            raise ValueError(f"{name} should be {expected[0]} of {expected[1]} in shards of {expected[2]}, "
                             f"but is {actual[0]} of {actual[1]} in shards of {actual[2]}")
        yield name, (array, layout)


def _fault(
    store: FeatureStore, video: str, name: str, array: zarr.Array[Any], layout: ArrayLayout, shard: int
) -> str | None:
    """Why one shard of one array is not as it was written; None when it is."""
    content = store.place.read(f"{folder_of(video)}/{name}/{layout.shard_key(shard)}")
    start = shard * store.clips_per_shard
    stop = min(start + store.clips_per_shard, array.shape[0])
    if content is None:
        return "it is missing"  # zarr would read zeros
    if layout.sharded and (reason := _index_fault(content, store.clips_per_shard, stop - start)):
        return reason
    try:
        values: NDArray[Any] = np.asarray(array[start:stop])
    except (RuntimeError, ValueError, OSError) as error:
        return " ".join(str(error).split()) or type(error).__name__
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        return "it holds values that are not finite"
    return None


def _index_fault(content: bytes, num_chunks: int, num_clips: int) -> str | None:
    """What is wrong with a shard's index at its end: (offset, length) of each chunk as uint64, then the CRC-32C."""
    size = 16 * num_chunks
    index, stored = content[-size - 4 : -4], content[-4:]
    if len(index) != size or struct.unpack("<I", stored)[0] != crc32c(index):
        return "its index does not match its checksum"
    if (np.frombuffer(index, "<u8").reshape(-1, 2)[:num_clips] == ABSENT).any():
        return "chunks are missing"
    return None
