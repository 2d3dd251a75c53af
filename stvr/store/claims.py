"""Who writes a video: a lease that its holder renews, so that what a dead one held is free again.

On one machine the holder also locks the claim's file, and the system drops a lock when its holder dies: nothing is
waited for there. Where no lock is shared (NFS, buckets, several machines) the lease decides; clocks that differ by less
than the lease are good enough.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from threading import Event, Thread
from typing import Any, Protocol

LEASE_SECONDS = 60.0
SETTLED_SECONDS = 1.0  # what two machines that take over one lease need to see each other
WRITING_SECONDS = 5.0  # a claim that says nothing yet is given so long to be written
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


class Claimed(ValueError):
    """Somebody else is writing the video. The line says who."""

    def __init__(self, video: str, holder: str) -> None:
        super().__init__(f"{video!r} is being written by {holder}. Run again when that has ended.")


class Claim(Protocol):
    """Of one video, from its making until `release`. Claimed is raised by the making, when another holds it."""

    def renew(self) -> None: ...
    def check(self) -> None: ...
    def release(self) -> None: ...


@contextmanager
def kept(claim: Claim, lease_seconds: float) -> Iterator[Claim]:
    """Renews a claim four times a lease, and lets it go at the end."""
    ended = Event()

    def renew() -> None:
        while not ended.wait(lease_seconds / 4):
            with suppress(Exception):  # the next time will do; `check` says when the claim is lost
                claim.renew()

    thread = Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield claim
    finally:
        ended.set()
        thread.join()
        claim.release()


class FileClaim:
    """A file in a folder: locked, and dated anew at every renewal."""

    def __init__(self, path: Path, lease_seconds: float) -> None:
        self._path, self._note = path, _note()
        self._file, foreign = _locked(path, lease_seconds)
        os.truncate(self._file, 0)
        os.pwrite(self._file, self._note, 0)
        if foreign:
            time.sleep(SETTLED_SECONDS)
            try:
                self.check()
            except Claimed:
                os.close(self._file)
                raise

    def renew(self) -> None:
        os.utime(self._file)

    def check(self) -> None:
        """Claimed where the lease ran out, as of a machine that slept, and another has taken over."""
        try:
            note = self._path.read_bytes()
        except FileNotFoundError:
            note = b""
        if note != self._note:
            raise Claimed(self._path.name, _holder(note))

    def release(self) -> None:
        with suppress(Claimed, OSError):
            self.check()
            self._path.unlink()
            self._path.parent.rmdir()  # the last one
        os.close(self._file)


def _locked(path: Path, lease_seconds: float) -> tuple[int, bool]:
    """The open file of a claim that is ours now, and whether it was another machine's whose lease ran out."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file, is_new = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL), True
        except FileExistsError:
            try:
                file, is_new = os.open(path, os.O_RDWR), False
            except FileNotFoundError:  # the one before has just let go
                continue
        except FileNotFoundError:  # and tidied up
            continue
        try:
            locks, note = _lock(file, wait=is_new), os.pread(file, 1000, 0)
            if not os.path.samestat(os.fstat(file), path.stat()):
                raise FileNotFoundError
            ours_to_judge = locks and _said(note).get("machine") == _machine()
            age = time.time() - os.fstat(file).st_mtime
            if is_new or ours_to_judge or age > (lease_seconds if note else WRITING_SECONDS):
                return file, not (is_new or ours_to_judge)
            raise BlockingIOError
        except FileNotFoundError:
            os.close(file)
        except BlockingIOError:
            note = os.pread(file, 1000, 0)
            os.close(file)
            raise Claimed(path.name, _holder(note)) from None
        except BaseException:
            os.close(file)
            raise


def _lock(file: int, wait: bool) -> bool:
    """Locks an open file; False where the file system has no locks. BlockingIOError when another holds it.

    wait: a file that is new is held by those who look whose it is, and no longer than that takes.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in NO_LOCKS:
            return False
        raise
    return True


class BucketClaim:
    """An object that is put only if absent, and replaced only by who knows its present content."""

    def __init__(self, objects: Any, key: str, lease_seconds: float) -> None:
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        self._objects, self._key, self._changed = objects, key, PreconditionError
        while True:
            try:
                self._tag = objects.put(key, _note(), mode="create")["e_tag"]
                return
            except AlreadyExistsError:
                pass
            try:
                there = objects.get(key)
                note, meta = bytes(there.bytes()), there.meta
                if (datetime.now(UTC) - meta["last_modified"]).total_seconds() < lease_seconds:
                    raise Claimed(self._name, _holder(note))
                self._tag = objects.put(key, _note(), mode={"e_tag": meta["e_tag"]})["e_tag"]
                return
            except (FileNotFoundError, PreconditionError):  # let go, or taken over, this moment
                continue

    @property
    def _name(self) -> str:
        return self._key.rpartition("/")[2]

    def renew(self) -> None:
        try:
            self._tag = self._objects.put(self._key, _note(), mode={"e_tag": self._tag})["e_tag"]
        except self._changed:
            self._tag = ""

    def check(self) -> None:
        if not self._tag:
            raise Claimed(self._name, "another that took over when the lease had run out")

    def release(self) -> None:
        with suppress(FileNotFoundError):
            if self._tag and self._objects.head(self._key)["e_tag"] == self._tag:
                self._objects.delete(self._key)


def _note() -> bytes:
    """Who we are; never twice the same, so that what was read can be told from what is there."""
    holder = f"process {os.getpid()} on {socket.gethostname()}"
    return json.dumps({"holder": holder, "machine": _machine(), "token": uuid.uuid4().hex}).encode()


def _said(note: bytes) -> dict[str, Any]:
    try:
        said = json.loads(note)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _holder(note: bytes) -> str:
    return str(_said(note).get("holder", "another process"))


@cache
def _machine() -> str:
    """What shares one set of locks: a running kernel."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()
