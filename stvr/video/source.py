"""Videos in buckets: list them, and keep a local copy of one for as long as it is needed."""

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

from stvr.video.folders import is_hidden

BUCKET = re.compile(r"(s3|gs|az):/+(.+)")  # pathlib turns two slashes into one
MARK = "stvr-video"  # copies lie in temporary folders stvr-video-MACHINE-PROCESS-...


@dataclass(frozen=True, slots=True)
class BucketFile:
    """An object, s3://bucket/key. size: in bytes; 1 where it is not known."""

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
    """obstore's view of a bucket, or of a prefix in it."""
    try:
        from obstore.store import from_url
    except ImportError:
        raise LookupError(f"{url} needs obstore. Run `pip install 'stvr[s3]'`.") from None
    return from_url(url)


def is_in_bucket(name: str) -> bool:
    return BUCKET.match(name) is not None


def files_at(name: str, suffixes: Collection[str]) -> list[BucketFile]:
    """The object itself when its name has one of the suffixes; else every such object below that prefix, none hidden.

    OSError when the bucket cannot be read.
    """
    root, key = _parts(name)
    if PurePosixPath(key).suffix.lower() in suffixes:
        return [BucketFile(f"{root}/{key}")]
    try:
        found = [each for part in objects(root).list(f"{key}/" if key else None) for each in part]
    except Exception as error:
        raise _in_one_line(name, "listed", error) from error
    below = {each["path"]: PurePosixPath(each["path"].removeprefix(key).lstrip("/")) for each in found}
    named = [each for each in found if (path := below[each["path"]]).suffix.lower() in suffixes and not is_hidden(path)]
    return [BucketFile(f"{root}/{each['path']}", each["size"]) for each in sorted(named, key=lambda each: each["path"])]


def etag_of(file: BucketFile) -> str | None:
    """A tag that changes when the object does; not every server has one. OSError when there is no such object."""
    root, key = _parts(file.url)
    try:
        etag: str | None = objects(root).head(key)["e_tag"]
    except Exception as error:
        raise _in_one_line(file.url, "read", error) from error
    return etag


@contextmanager
def fetched(file: BucketFile) -> Iterator[tuple[Path, str | None]]:
    """A copy under the object's own name, deleted on exit, and the object's etag. OSError when it cannot be fetched."""
    root, key = _parts(file.url)
    sweep()
    folder = Path(tempfile.mkdtemp(prefix=f"{MARK}-{socket.gethostname()}-{os.getpid()}-"))
    try:
        try:
            answer: Any = objects(root).get(key)
            with (folder / file.name).open("wb") as copy:
                for part in answer.stream(min_chunk_size=8 << 20):
                    _append(copy, part, file, folder)
        except Exception as error:
            raise _in_one_line(file.url, "read", error) from error
        yield folder / file.name, answer.meta["e_tag"]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep() -> None:
    """Deletes the copies of processes on this machine that were killed before they could do it themselves."""
    for folder in Path(tempfile.gettempdir()).glob(f"{MARK}-{socket.gethostname()}-*-*"):
        process = folder.name.removeprefix(f"{MARK}-{socket.gethostname()}-").partition("-")[0]
        if process.isdigit() and not _is_running(int(process)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


class _NoRoom(OSError):
    """Its message is already the one line for the user."""


def _append(copy: Any, part: Any, file: BucketFile, folder: Path) -> None:
    try:
        copy.write(part)
    except OSError as error:
        raise _NoRoom(f"no room for {file} in {folder.parent} ({error.strerror}). Free some space, or set TMPDIR to "
                      "another folder.") from error


def _parts(name: str) -> tuple[str, str]:
    """s3://bucket, and the key in it."""
    match = BUCKET.match(name)
    if match is None:
        raise ValueError(f"wanted the address of an object in a bucket, s3://BUCKET/KEY; got {name}.")
    bucket, _, key = match[2].partition("/")
    return f"{match[1]}://{bucket}", key.strip("/")


def _in_one_line(name: str, action: str, error: Exception) -> Exception:
    """The same error in one line; obstore's own messages have many. action: what cannot be done, "read" say."""
    if isinstance(error, (_NoRoom, LookupError)):
        return error
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(f"{name} cannot be {action}: no such object or bucket.")
    reason = str(error).strip().split("\n")[0].partition(": <?xml")[0].rstrip(" .") or type(error).__name__
    return ConnectionError(f"{name} cannot be {action}: {reason}. Check the bucket's name and the environment "
                           "variables AWS_....")
