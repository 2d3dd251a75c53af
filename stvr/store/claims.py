"""Who writes a video: a lease that its holder renews, so that the video is free again when the holder dies.

On one machine the holder also locks the claim's file, and the system drops that lock when the holder dies, so nobody
has to wait. Where locks are not shared (NFS, buckets, several machines) the lease decides; it is enough that clocks
differ by less than a lease.
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
SETTLED_SECONDS = 1.0  # how long two machines that take over the same lease need to see each other
WRITING_SECONDS = 5.0  # how long a claim may stay empty before it counts as abandoned
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


class Claimed(ValueError):
    """Somebody else is writing the video. The message says who."""

    def __init__(self, video: str, holder: str) -> None:
        super().__init__(f"{video!r} is being written by {holder}. Run again when that has finished.")


class Complete(ValueError):
    """Nothing of the video is left to write."""

    def __init__(self, video: str, store: str) -> None:
        super().__init__(f"{video!r} is complete in {store} already.")


class Claim(Protocol):
    """Holds one video from construction until `release`. The constructor raises Claimed when another holds it."""

    def renew(self) -> None: ...
    def check(self) -> None: ...
    def release(self) -> None: ...


@contextmanager
def kept(claim: Claim, lease_seconds: float) -> Iterator[Claim]:
    """Renews a claim four times a lease, and releases it at the end."""
    stop = Event()

    def renew() -> None:
        while not stop.wait(lease_seconds / 4):
            with suppress(Exception):  # the next renewal will do; `check` notices when the claim is lost
                claim.renew()

    thread = Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield claim
    finally:
        stop.set()
        thread.join()
        claim.release()


class FileClaim:
    """A file in a folder, locked, whose time is set anew at every renewal."""

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
        """Claimed when the lease ran out, because the machine slept say, and another has taken over."""
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
            self._path.parent.rmdir()  # fails, as it should, while there are other claims
        os.close(self._file)


def _locked(path: Path, lease_seconds: float) -> tuple[int, bool]:
    """The open file of a claim that is now ours, and whether it is taken over from a machine whose lease ran out."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file, is_new = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL), True
        except FileExistsError:
            try:
                file, is_new = os.open(path, os.O_RDWR), False
            except FileNotFoundError:  # its holder has just released it
                continue
        except FileNotFoundError:  # and removed the folder
            continue
        try:
            locks, note = _lock(file, wait=is_new), os.pread(file, 1000, 0)
            if not os.path.samestat(os.fstat(file), path.stat()):
                raise FileNotFoundError
            lock_decides = locks and _parsed(note).get("machine") == _machine()
            age = time.time() - os.fstat(file).st_mtime
            if is_new or lock_decides or age > (lease_seconds if note else WRITING_SECONDS):
                return file, not (is_new or lock_decides)
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

    wait: for a new file, which others lock only for as long as it takes to see whose it is.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in NO_LOCKS:
            return False
        raise
    return True


class BucketClaim:
    """An object that is created only if absent, and replaced only by somebody who knows its current content."""

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
                current = objects.get(key)
                note, meta = bytes(current.bytes()), current.meta
                if (datetime.now(UTC) - meta["last_modified"]).total_seconds() < lease_seconds:
                    raise Claimed(self._name, _holder(note))
                self._tag = objects.put(key, _note(), mode={"e_tag": meta["e_tag"]})["e_tag"]
                return
            except (FileNotFoundError, PreconditionError):  # released or taken over at this very moment
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
            raise Claimed(self._name, "another process, which took over when the lease had run out")

    def release(self) -> None:
        with suppress(FileNotFoundError):
            if self._tag and self._objects.head(self._key)["e_tag"] == self._tag:
                self._objects.delete(self._key)


def _note() -> bytes:
    """Who we are, with a token that never occurs twice, so that two claims can be told apart."""
    holder = f"process {os.getpid()} on {socket.gethostname()}"
    return json.dumps({"holder": holder, "machine": _machine(), "token": uuid.uuid4().hex}).encode()


def _parsed(note: bytes) -> dict[str, Any]:
    try:
        content = json.loads(note)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _holder(note: bytes) -> str:
    return str(_parsed(note).get("holder", "another process"))


@cache
def _machine() -> str:
    """The running kernel: processes under the same one see each other's locks."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()
