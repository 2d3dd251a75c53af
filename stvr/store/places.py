"""Where a store lies: a folder, or a prefix in a bucket. Files appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import zarr.abc.store
from zarr.storage import LocalStore

from stvr.store.claims import BucketClaim, Claim, FileClaim
from stvr.video.source import BUCKET, objects


class Place(Protocol):
    """Keys are paths below the place, with slashes. A missing key reads as None, and deleting it is not an error."""

    @property
    def path(self) -> Path | str: ...
    def zarr(self) -> zarr.abc.store.Store: ...
    def read(self, key: str) -> bytes | None: ...
    def file(self, key: str) -> Path | None: ...  # where a key lies on this machine; None in a bucket
    def write(self, key: str, content: bytes) -> None: ...
    def delete(self, key: str) -> None: ...
    def delete_all(self, folder: str) -> None: ...
    def folders(self) -> set[str]: ...
    def keys(self, folder: str) -> set[str]: ...
    def is_empty(self) -> bool: ...
    def claim(self, name: str, lease_seconds: float) -> Claim: ...
    def tidy(self, folder: str) -> None: ...


def place_at(path: Path | str) -> Place:
    """A folder, or for "s3://bucket/prefix" (gs, az) a bucket; AWS_... variables hold its keys, region and endpoint."""
    bucket = BUCKET.match(str(path))
    return Bucket(f"{bucket[1]}://{bucket[2].rstrip('/')}") if bucket else Folder(Path(path))


def is_store(path: Path | str) -> bool:
    """Whether there is a Zarr group; nothing more is checked."""
    return place_at(path).read("zarr.json") is not None


class Folder:
    """A store on a file system."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def zarr(self) -> zarr.abc.store.Store:
        return LocalStore(self.path)

    def read(self, key: str) -> bytes | None:
        try:
            return (self.path / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def file(self, key: str) -> Path | None:
        return self.path / key

    def write(self, key: str, content: bytes) -> None:
        target = self.path / key
        target.parent.mkdir(parents=True, exist_ok=True)
        if not content:
            target.touch()
            return
        partial = target.with_name(f"{target.name}.{uuid.uuid4().hex}.partial")
        for last in (False, True):
            try:
                partial.write_bytes(content)
                partial.replace(target)
                return
            except FileNotFoundError:  # another process tidies here
                if last:
                    raise
            except OSError:
                partial.unlink(missing_ok=True)
                raise

    def delete(self, key: str) -> None:
        (self.path / key).unlink(missing_ok=True)
        with suppress(OSError):  # the last file takes its folder with it
            (self.path / key).parent.rmdir()

    def delete_all(self, folder: str) -> None:
        shutil.rmtree(self.path / folder, ignore_errors=True)

    def folders(self) -> set[str]:
        """Names of folders that are not hidden."""
        with os.scandir(self.path) as entries:
            return {entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")}

    def keys(self, folder: str) -> set[str]:
        """All files below a folder, by their paths relative to it."""
        root = self.path / folder
        found = ((Path(parent), names) for parent, _, names in os.walk(root))
        return {str((parent / name).relative_to(root)) for parent, names in found for name in names}

    def is_empty(self) -> bool:
        return not self.path.exists() or all(entry.name.endswith(".partial") for entry in self.path.iterdir())

    def claim(self, name: str, lease_seconds: float) -> Claim:
        return FileClaim(self.path / ".claims" / name, lease_seconds)

    def tidy(self, folder: str) -> None:
        """Removes what a writer left half written when it was killed."""
        for leftover in (self.path / folder).rglob("*.partial"):
            leftover.unlink(missing_ok=True)


class Bucket:
    """A store in a bucket: an object is there whole or not at all, so nothing is ever half written."""

    def __init__(self, url: str) -> None:
        self.path = url
        self._objects: Any = objects(url)

    def zarr(self) -> zarr.abc.store.Store:
        from zarr.storage import ObjectStore

        return ObjectStore(self._objects)

    def read(self, key: str) -> bytes | None:
        try:
            return bytes(self._objects.get(key).bytes())
        except FileNotFoundError:
            return None

    def file(self, key: str) -> Path | None:
        return None

    def write(self, key: str, content: bytes) -> None:
        self._objects.put(key, content)

    def delete(self, key: str) -> None:
        with suppress(FileNotFoundError):
            self._objects.delete(key)

    def delete_all(self, folder: str) -> None:
        if keys := self.keys(folder):
            self._objects.delete([f"{folder}/{key}" for key in keys])

    def folders(self) -> set[str]:
        prefixes = self._objects.list_with_delimiter()["common_prefixes"]
        return {name for name in (prefix.rstrip("/").rpartition("/")[2] for prefix in prefixes) if name[0] != "."}

    def keys(self, folder: str) -> set[str]:
        found = (each["path"] for part in self._objects.list(f"{folder}/") for each in part)
        return {path.removeprefix(f"{folder}/") for path in found}

    def is_empty(self) -> bool:
        return not any(part for part in self._objects.list(chunk_size=1))

    def claim(self, name: str, lease_seconds: float) -> Claim:
        return BucketClaim(self._objects, f".claims/{name}", lease_seconds)

    def tidy(self, folder: str) -> None:
        """There is nothing to do: no object is ever half written."""
