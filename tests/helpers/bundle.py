"""Write TensorFlow checkpoints by hand: every byte as the description of the format says, none by way of our reader."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import google_crc32c
import numpy as np

TYPES = {"float32": 1, "float64": 2, "int32": 3, "int64": 9, "float16": 19}
TABLE = []
for byte in range(256):
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)  # Castagnoli's polynomial, reflected
    TABLE.append(byte)


def write_bundle(prefix: Path, variables: Mapping[str, np.ndarray], rows_a_block: int = 7, restart: int = 3,
                 num_shards: int = 1, **header: int) -> None:
    """Writes `variables` at `prefix`, spread over the shards in turn; small blocks, so that few variables fill many."""
    shards = [b""] * num_shards
    rows = [(b"", number(1, num_shards) + number(2, header.get("endianness", 0)) + field(3, number(1, 1)))]
    for place, name in enumerate(sorted(variables, key=str.encode)):
        value, shard = variables[name], place % num_shards
        rows.append((name.encode(), entry(value, shard, len(shards[shard]))))
        shards[shard] += value.tobytes()
    for shard, data in enumerate(shards):
        Path(f"{prefix}.data-{shard:05d}-of-{num_shards:05d}").write_bytes(data)
    Path(f"{prefix}.index").write_bytes(table(rows, rows_a_block, restart))


def entry(value: np.ndarray, shard: int, offset: int) -> bytes:
    dims = b"".join(field(2, number(1, size)) for size in value.shape)
    data = value.tobytes()
    fields = number(1, TYPES.get(value.dtype.name, 7)) + field(2, dims) + number(3, shard) + number(4, offset)
    return fields + number(5, len(data)) + b"\x35" + struct.pack("<I", masked(data))


def table(rows: list[tuple[bytes, bytes]], rows_a_block: int, restart: int) -> bytes:
    """Data blocks, an empty meta index, the index, the footer."""
    out, index = b"", []
    for first in range(0, len(rows), rows_a_block):
        some = rows[first : first + rows_a_block]
        content = block(some, restart)
        index.append((some[-1][0], varint(len(out)) + varint(len(content))))
        out += sealed(content)
    places = b""
    for content in (block([], 1), block(index, 1)):
        places += varint(len(out)) + varint(len(content))
        out += sealed(content)
    return out + places.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")


def block(rows: list[tuple[bytes, bytes]], restart: int) -> bytes:
    """Rows without what their key shares with the key before, except every `restart`-th; where those lie; how many."""
    out, restarts, before = b"", [], b""
    for place, (key, value) in enumerate(rows):
        shared = 0
        if place % restart == 0:
            restarts.append(len(out))
        else:
            while shared < min(len(key), len(before)) and key[shared] == before[shared]:
                shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    restarts = restarts or [0]
    return out + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))


def sealed(content: bytes, compression: int = 0) -> bytes:
    content += bytes([compression])
    return content + struct.pack("<I", masked(content))


def masked(data: bytes) -> int:
    crc = crc32c(data) if len(data) < 4096 else google_crc32c.value(data)  # a whole I3D would take a minute
    return ((crc >> 15) + (crc << 17 & 0xFFFFFFFF) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def number(of: int, value: int) -> bytes:
    """A whole number in field `of`; nothing for 0, as protocol buffers do."""
    return varint(of << 3) + varint(value) if value else b""


def field(of: int, data: bytes) -> bytes:
    return varint(of << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])
