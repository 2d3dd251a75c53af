"""Files that hold many arrays, written and read in parts: HDF5 or NumPy's npz. The menu is FORMATS."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import h5py
import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

HEADER = ".stvr"  # JSON text beside the groups of an HDF5 file or in a member of an npz; no video can have this name
Array = NDArray[Any]
DAMAGE = (zipfile.BadZipFile, zlib.error, OSError, LookupError, ValueError, EOFError)  # raised by a damaged file


class File(Protocol):
    """One file with arrays by name and one header."""

    def write(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], parts: Iterator[Array]) -> None: ...
    def write_header(self, header: Mapping[str, Any]) -> None: ...
    def header(self) -> Any: ...
    def read(self, name: str, size: int) -> Iterator[Array]: ...
    def close(self) -> None: ...


class Hdf5:
    """One group a video, one chunk a clip, gzip."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file

    @classmethod
    def create(cls, path: Path) -> Hdf5:
        return cls(h5py.File(path, "w"))

    @classmethod
    def open(cls, path: Path) -> Hdf5:
        return cls(h5py.File(path, "r"))

    @staticmethod
    def recognises(path: Path) -> bool:
        return bool(h5py.is_hdf5(path))

    def write(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], parts: Iterator[Array]) -> None:
        dataset = self._file.create_dataset(
            name, shape, dtype, chunks=(1, *shape[1:]), compression="gzip", compression_opts=1
        )
        start = 0
        for part in parts:
            dataset[start : start + len(part)] = part
            start += len(part)

    def write_header(self, header: Mapping[str, Any]) -> None:
        """Not as an attribute, which has room for only 64 KB."""
        self._file.create_dataset(HEADER, data=json.dumps(header))

    def header(self) -> Any:
        return json.loads(self._file[HEADER][()])

    def read(self, name: str, size: int) -> Iterator[Array]:
        dataset = self._file[name]
        for start in range(0, len(dataset), size):
            yield dataset[start : start + size]

    def close(self) -> None:
        self._file.close()


class Npz:
    """What np.load reads: a member for every array, "video/features". Arrays are written and read in parts."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file

    @classmethod
    def create(cls, path: Path) -> Npz:
        return cls(zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1))

    @classmethod
    def open(cls, path: Path) -> Npz:
        return cls(zipfile.ZipFile(path))

    @staticmethod
    def recognises(path: Path) -> bool:
        return zipfile.is_zipfile(path)

    def write(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], parts: Iterator[Array]) -> None:
        with self._file.open(f"{name}.npy", "w", force_zip64=True) as member:
            header = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
            npy.write_array_header_1_0(cast(BinaryIO, member), header)
            for part in parts:
                member.write(np.ascontiguousarray(part).tobytes())

    def write_header(self, header: Mapping[str, Any]) -> None:
        self._file.writestr(HEADER, json.dumps(header))

    def header(self) -> Any:
        return json.loads(self._file.read(HEADER))

    def read(self, name: str, size: int) -> Iterator[Array]:
        with self._file.open(f"{name}.npy") as member:
            shape, dtype = _npy_header(member)
            row = int(np.prod(shape[1:])) * dtype.itemsize
            for start in range(0, shape[0], size):
                content = member.read(min(size, shape[0] - start) * row)
                yield np.frombuffer(content, dtype).reshape(-1, *shape[1:])

    def close(self) -> None:
        self._file.close()


def _npy_header(member: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    if npy.read_magic(member) != (1, 0):
        raise ValueError("not written by stvr")
    shape, _, dtype = npy.read_array_header_1_0(member)
    return shape, dtype


FORMATS: dict[str, type[Hdf5] | type[Npz]] = {"hdf5": Hdf5, "npz": Npz}
