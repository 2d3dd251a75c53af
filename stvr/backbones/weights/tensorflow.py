"""Read TensorFlow's checkpoints (model.ckpt.index beside model.ckpt.data-00000-of-00001) without TensorFlow.

The index is a table of sorted keys in blocks, as LevelDB writes it, and its values are protocol buffers. Source:
tensorflow/core/lib/io/format.cc, tensorflow/core/util/tensor_bundle/ and tensorflow/core/protobuf/tensor_bundle.proto.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from google_crc32c import value as crc32c

MAGIC = 0xDB4775248B80FB57
FOOTER = 48  # bytes: where the meta index and the index lie, padded; then MAGIC
DTYPES = {1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 9: "int64", 10: "bool",
          17: "uint16", 19: "float16", 22: "uint32", 23: "uint64"}  # fmt: skip
PART = re.compile(r"\.index$|\.data-\d{5}-of-\d{5}$")  # after the prefix


@dataclass(frozen=True, slots=True)
class Entry:
    """A variable: its numpy dtype ("type 7" where numpy has none), and where its bytes lie in which data file.

    crc: masked CRC-32C of the bytes. sliced: the checkpoint keeps it in pieces under other keys.
    """

    dtype: str
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int
    sliced: bool = False


def read_index(path: Path) -> dict[str, Entry]:
    """Every variable of a checkpoint by name. `path` is what `prefix_of` takes; the data files may be missing."""
    return read_table(prefix_of(path))[1]


def read_checkpoint(path: Path, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """The values of `names`, or of every variable, each checked against its checksum.

    path: the prefix (model.ckpt), one of the checkpoint's files, or a folder with one checkpoint. Raises
    FileNotFoundError for a missing file, LookupError for a missing variable, ValueError for data that is damaged, cut
    short or not numeric.
    """
    prefix = prefix_of(path)
    num_shards, entries = read_table(prefix)
    if absent := [name for name in names or () if name not in entries]:
        raise LookupError(f"{prefix}: wanted the variable {absent[0]!r}, got {len(entries)} others.")
    chosen = {name: entries[name] for name in (entries if names is None else names)}
    files = {shard: Path(f"{prefix}.data-{shard:05d}-of-{num_shards:05d}")
             for shard in {entry.shard for entry in chosen.values()}}  # fmt: skip
    shards = {shard: open_shard(file) for shard, file in files.items()}
    return {name: tensor(shards[entry.shard], entry, f"{files[entry.shard]}: {name}")
            for name, entry in chosen.items()}  # fmt: skip


def is_checkpoint(path: Path) -> bool:
    """Whether `path` means a checkpoint: a folder, one of its files, or a prefix whose index exists."""
    return path.is_dir() or bool(PART.search(path.name)) or (not path.is_file() and index_of(path).is_file())


def prefix_of(path: Path) -> Path:
    """`path` without .index or .data-00000-of-00001; for a folder, the one checkpoint in it; else `path` itself."""
    if path.is_dir():
        found = sorted(path.glob("*.index"))
        if len(found) != 1:
            raise FileNotFoundError(f"{path}: wanted a file of weights, or a folder with one TensorFlow checkpoint, "
                                    f"got a folder with {len(found)} .index files. Name the file.")
        path = found[0]
    prefix = path.with_name(PART.sub("", path.name))
    if not index_of(prefix).is_file():
        raise FileNotFoundError(f"{index_of(prefix)}: wanted the index of a TensorFlow checkpoint, found no such file. "
                                "Put it beside the data, or name another checkpoint.")
    return prefix


def index_of(prefix: Path) -> Path:
    return prefix.with_name(f"{prefix.name}.index")


def open_shard(file: Path) -> np.ndarray:
    """The bytes of a data file, mapped into memory, not read."""
    if not file.is_file():
        raise FileNotFoundError(f"{file}: wanted the data of a TensorFlow checkpoint beside its index, found no such "
                                "file. Download it too.")
    return np.memmap(file, np.uint8, "r") if file.stat().st_size else np.empty(0, np.uint8)


def tensor(shard: np.ndarray, entry: Entry, source: str) -> np.ndarray:
    """A copy of one variable, checked against its checksum."""
    if entry.sliced or entry.dtype not in DTYPES.values():
        kind = "one kept in slices" if entry.sliced else f"TensorFlow's {entry.dtype}"
        raise ValueError(f"{source}: wanted a whole variable of numbers, got {kind}. Read the others by name.")
    dtype = np.dtype(entry.dtype).newbyteorder("<")
    if math.prod(entry.shape) * dtype.itemsize != entry.size:
        raise ValueError(f"{source}: wanted {entry.dtype} {entry.shape}, got {entry.size} bytes. The index is wrong.")
    data = shard[entry.offset : entry.offset + entry.size].tobytes()
    if len(data) < entry.size:
        raise ValueError(f"{source}: wanted {entry.size} bytes from {entry.offset}, got {len(data)}: the file is cut "
                         "short. Copy or download it again.")
    if masked_crc(data) != entry.crc:
        raise ValueError(f"{source}: the bytes do not match their checksum in the index: the file is damaged or "
                         "belongs to another checkpoint. Copy or download it again.")
    return np.frombuffer(data, dtype).reshape(entry.shape).copy()


def read_table(prefix: Path) -> tuple[int, dict[str, Entry]]:
    """The number of data files, and the variables."""
    file = index_of(prefix)
    try:
        rows = dict(table_rows(file.read_bytes()))
        header = message(rows.pop(b""))
        if header.get(2) == [1]:
            raise Refused("numbers in big-endian order")
        return int(header[1][0]), {key.decode(): parsed_entry(value) for key, value in rows.items()}
    except OSError:
        raise
    except (Refused, *PARSING_ERRORS) as error:
        kind = error if isinstance(error, Refused) else "a damaged one"
        raise ValueError(f"{file}: wanted the index of a TensorFlow checkpoint (V2), got {kind}. "
                         "Copy or download it again.") from None


PARSING_ERRORS = (ValueError, LookupError, TypeError, OverflowError, struct.error)  # what damaged bytes can lead to


class Refused(Exception):
    """Not an index; the message says what it is instead."""


def table_rows(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a table, in order."""
    if len(data) < FOOTER or struct.unpack_from("<Q", data, len(data) - 8) != (MAGIC,):
        raise Refused(f"a file that does not end in {MAGIC:#x}")
    _, _, at = handle(data, len(data) - FOOTER)  # of the meta index, which is empty
    offset, size, _ = handle(data, at)
    for _, place in block_rows(data, offset, size):
        offset, size, _ = handle(place, 0)
        yield from block_rows(data, offset, size)


def block_rows(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of one block; a key is stored as its difference from the one before."""
    compression, crc = struct.unpack_from("<BI", data, offset + size)
    if masked_crc(data[offset : offset + size + 1]) != crc:
        raise Refused(f"a damaged one (checksum of the block at {offset})")
    if compression != 0:
        raise Refused("one with compressed blocks, which TensorFlow does not write")
    (num_restarts,) = struct.unpack_from("<I", data, offset + size - 4)
    at, end, key = offset, offset + size - 4 - 4 * num_restarts, b""
    while at < end:
        shared, at = varint(data, at)
        unshared, at = varint(data, at)
        length, at = varint(data, at)
        key = key[:shared] + data[at : at + unshared]
        at += unshared + length
        yield key, data[at - length : at]


def handle(data: bytes, at: int) -> tuple[int, int, int]:
    """Offset and size of a block, and the position after them."""
    offset, at = varint(data, at)
    size, at = varint(data, at)
    return offset, size, at


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A whole number, seven bits a byte, lowest first; and the position after it."""
    value = shift = 0
    while data[at] >= 128:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
    return value | data[at] << shift, at + 1


def parsed_entry(data: bytes) -> Entry:
    """BundleEntryProto."""
    fields = message(data)
    sizes = tuple(message(dim).get(1, [0])[0] for shape in fields.get(2, []) for dim in message(shape).get(2, []))
    dtype, shard, offset, size, crc = (fields.get(number, [0])[0] for number in (1, 3, 4, 5, 6))
    return Entry(DTYPES.get(dtype, f"type {dtype}"), sizes, shard, offset, size, crc, sliced=7 in fields)


def message(data: bytes) -> dict[int, list[Any]]:
    """A protocol buffer: whole numbers and byte strings by field number."""
    fields: dict[int, list[Any]] = {}
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        value: int | bytes
        if tag & 7 == 0:
            value, at = varint(data, at)
        elif tag & 7 == 2:
            length, at = varint(data, at)
            value, at = data[at : at + length], at + length
        else:
            width = {1: "<Q", 5: "<I"}[tag & 7]
            (value,) = struct.unpack_from(width, data, at)
            at += struct.calcsize(width)
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def masked_crc(data: bytes) -> int:
    """CRC-32C rotated by 15 bits plus a constant, as LevelDB stores it."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
