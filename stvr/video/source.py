"""Videos in buckets: which there are, and one of them on this machine's disk for as long as it is needed."""

from __future__ import annotations

import os
import re
import shutil
import socket
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

BUCKET = re.compile(r"(s3|gs|az):/+(.+)")  # pathlib makes one slash of two
MARK = "stvr-video"  # the folders of what is fetched: stvr-video-MACHINE-PROCESS-...


@dataclass(frozen=True, slots=True)
class BucketFile:
    """An object, s3://bucket/key. size: in bytes, where it is known."""

    url: str
    size: int = 1

    def __str__(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        return PurePosixPath(self.url).name

    @property
    def stem(self) -> str:
        return PurePosixPath(self.url).stem


Source = Path | BucketFile


def objects(url: str) -> Any:
    """obstore's own view of a bucket, or of a prefix in it."""
    try:
        from obstore.store import from_url
    except ImportError:
        raise LookupError(f"{url} needs obstore. Run `pip install 'stvr[s3]'`.") from None
    return from_url(url)


def is_in_bucket(name: str) -> bool:
    return BUCKET.match(name) is not None


def files_at(name: str, suffixes: Collection[str]) -> list[BucketFile]:
    """The object itself when it has one of the suffixes; else all that have one and stand right below that prefix.

    OSError when the bucket cannot be read.
    """
    root, key = _parts(name)
    if PurePosixPath(key).suffix.lower() in suffixes:
        return [BucketFile(f"{root}/{key}")]
    try:
        found = objects(root).list_with_delimiter(key or None)["objects"]
    except Exception as error:
        raise _told(name, "listed", error) from error
    named = [each for each in found if PurePosixPath(each["path"]).suffix.lower() in suffixes]
    return [BucketFile(f"{root}/{each['path']}", each["size"]) for each in sorted(named, key=lambda each: each["path"])]


def etag_of(file: BucketFile) -> str | None:
    """What changes when the object does; not every server tells. OSError when there is no such object."""
    root, key = _parts(file.url)
    try:
        etag: str | None = objects(root).head(key)["e_tag"]
    except Exception as error:
        raise _told(file.url, "read", error) from error
    return etag


@contextmanager
def fetched(file: BucketFile) -> Iterator[tuple[Path, str | None]]:
    """A copy under the object's own name, and the etag it had; gone at the end. OSError when it cannot be had."""
    root, key = _parts(file.url)
    sweep()
    folder = Path(tempfile.mkdtemp(prefix=f"{MARK}-{socket.gethostname()}-{os.getpid()}-"))
    try:
        try:
            answer: Any = objects(root).get(key)
            with (folder / file.name).open("wb") as copy:
                for part in answer.stream(min_chunk_size=8 << 20):
                    _put(copy, part, file, folder)
        except Exception as error:
            raise _told(file.url, "read", error) from error
        yield folder / file.name, answer.meta["e_tag"]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep() -> None:
    """Takes away what was fetched by processes of this machine that are no more: killed, they could not."""
    for folder in Path(tempfile.gettempdir()).glob(f"{MARK}-{socket.gethostname()}-*-*"):
        process = folder.name.removeprefix(f"{MARK}-{socket.gethostname()}-").partition("-")[0]
        if process.isdigit() and not _lives(int(process)):
            shutil.rmtree(folder, ignore_errors=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


class _NoRoom(OSError):
    """It says all that there is to say."""


def _put(copy: Any, part: Any, file: BucketFile, folder: Path) -> None:
    try:
        copy.write(part)
    except OSError as error:
        raise _NoRoom(f"{file} finds no room in {folder.parent} ({error.strerror}). Make room, or name another folder "
                      "in TMPDIR.") from error


def _parts(name: str) -> tuple[str, str]:
    """s3://bucket and the key."""
    match = BUCKET.match(name)
    if match is None:
        raise ValueError(f"{name} is not in a bucket. Give s3://BUCKET/KEY.")
    bucket, _, key = match[2].partition("/")
    return f"{match[1]}://{bucket}", key.strip("/")


def _told(name: str, what: str, error: Exception) -> Exception:
    """In one line; obstore's own have many."""
    if isinstance(error, (_NoRoom, LookupError)):
        return error
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(f"{name} cannot be {what}: no such object or bucket.")
    reason = str(error).strip().split("\n")[0].partition(": <?xml")[0].rstrip(" .") or type(error).__name__
    return ConnectionError(f"{name} cannot be {what}: {reason}. Check the bucket's name and the variables AWS_....")
