"""Clips of one shard, decompressed straight to where they are wanted: zarr hands each on through three copies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import zarr
from numcodecs.zstd import decompress
from numpy.typing import NDArray
from zarr.codecs import ShardingCodec

from stvr.store.arrays import shard_key
from stvr.store.places import Place
from stvr.structures import Span

CHECKSUM_BYTES = 4  # crc32c, little-endian, behind the index
NOT_WRITTEN = 2**64 - 1  # as offset and size: a chunk that is nothing but the fill value


def is_plain(array: zarr.Array[Any], clips_per_shard: int) -> bool:
    """Whether an array is kept as we write one: a clip a chunk, so many a shard, zstd, the index and its checksum last.

    Any other is for zarr to read, as is whatever a foreign program made.
    """
    codecs: list[Any] = list(getattr(array.metadata, "codecs", ()))
    if len(codecs) != 1 or not isinstance(codecs[0], ShardingCodec) or array.fill_value != 0:
        return False
    said: Any = codecs[0].to_dict()["configuration"]
    inner = [(codec["name"], codec.get("configuration", {})) for codec in said["codecs"]]
    index = [codec["name"] for codec in said["index_codecs"]]
    return (
        array.shards is not None and array.shards == (clips_per_shard, *array.shape[1:])
        and tuple(said["chunk_shape"]) == (1, *array.shape[1:])
        and [name for name, _ in inner] == ["bytes", "zstd"] and inner[0][1].get("endian", "little") == "little"
        and index == ["bytes", "crc32c"] and getattr(said["index_location"], "value", said["index_location"]) == "end"
    )  # fmt: skip


def read_clips(place: Place, folder: str, span: Span, clips_per_shard: int, out: NDArray[Any]) -> bool:
    """The clips of a span of the array in `folder` into `out`, contiguous, one row each; False where none is a file.

    ValueError or RuntimeError for a shard that is missing or damaged.
    """
    for shard in range(span.start // clips_per_shard, -(-span.stop // clips_per_shard)):
        file, first = place.file(f"{folder}/{shard_key(shard, out.ndim - 1)}"), shard * clips_per_shard
        if file is None:
            return False
        start, stop = max(span.start, first), min(span.stop, first + clips_per_shard)
        rows = out[start - span.start : stop - span.start]
        try:
            read_shard(file, slice(start - first, stop - first), clips_per_shard, rows)
        except FileNotFoundError:
            raise ValueError(f"shard {shard} of {Path(folder).name} is missing") from None
    return True


def read_shard(file: Path, clips: slice, num_clips: int, out: NDArray[Any]) -> None:
    """Clips of a shard that has places for `num_clips`. FileNotFoundError without it."""
    with file.open("rb") as opened:
        index = _read_index(opened, num_clips)[clips]
        written = index[index[:, 0] != NOT_WRITTEN]
        begin, end = (int(written[:, 0].min()), int(written.sum(1).max())) if len(written) else (0, 0)
        opened.seek(begin)
        content = memoryview(opened.read(end - begin))
    for (offset, size), row in zip(index.tolist(), out, strict=True):
        if offset == NOT_WRITTEN:
            row[:] = 0
            continue
        chunk = content[offset - begin : offset - begin + size]
        if len(chunk) != size:
            raise ValueError(f"{file.name} ends in the middle of a clip")
        if content_size(chunk) != row.nbytes:
            raise ValueError(f"a clip of {file.name} has another size than the others")
        decompress(chunk, memoryview(row).cast("B"))


def content_size(frame: memoryview) -> int | None:
    """How many bytes a zstd frame says that it holds (RFC 8878, section 3.1.1.1); None where it does not say."""
    descriptor = frame[4]
    in_one_segment, width = descriptor >> 5 & 1, (0, 2, 4, 8)[descriptor >> 6]
    width = width or in_one_segment
    start = 5 + (1 - in_one_segment) + (0, 1, 2, 4)[descriptor & 3]
    size = int.from_bytes(frame[start : start + width], "little")
    return None if width == 0 else size + 256 * (width == 2)


def _read_index(opened: Any, num_clips: int) -> NDArray[np.uint64]:
    """Offset and size of every clip, (num_clips, 2)."""
    size = 16 * num_clips
    opened.seek(0, 2)
    if opened.tell() < size + CHECKSUM_BYTES:
        raise ValueError("a shard is shorter than its index")
    opened.seek(-size - CHECKSUM_BYTES, 2)
    content = opened.read(size + CHECKSUM_BYTES)
    if google_crc32c.value(content[:size]) != int.from_bytes(content[size:], "little"):
        raise ValueError("the index of a shard does not have its checksum")
    return np.frombuffer(content[:size], "<u8").reshape(num_clips, 2)
