"""A video has one writer: on one machine by a lock, between machines by a lease."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from stvr.store import claims
from stvr.store.claims import Claimed, FileClaim, kept

LEASE = 30.0


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / ".claims" / "a"


def write_foreign(path: Path, age: float) -> None:
    """The claim of another machine, which renewed it `age` seconds ago; its locks cannot be seen here."""
    path.parent.mkdir()
    path.write_text(json.dumps({"holder": "process 7 on far", "machine": "another kernel", "token": "x"}))
    os.utime(path, (time.time() - age, time.time() - age))


def test_a_lease_of_another_machine_is_respected_until_it_runs_out(path, monkeypatch):
    monkeypatch.setattr(claims, "SETTLED_SECONDS", 0.01)
    write_foreign(path, age=LEASE - 5)
    with pytest.raises(Claimed, match=r"'a' is being written by process 7 on far\. Run again when that has finished"):
        FileClaim(path, LEASE)
    os.utime(path, (time.time() - LEASE - 5,) * 2)
    claim = FileClaim(path, LEASE)
    assert json.loads(path.read_text())["holder"].startswith(f"process {os.getpid()} on ")
    claim.release()
    assert not path.parent.exists()


def test_when_two_machines_take_over_one_lease_the_first_to_write_gives_it_up(path, monkeypatch):
    write_foreign(path, age=LEASE + 5)

    def write_the_others(seconds):
        path.write_text(json.dumps({"holder": "process 9 on third", "machine": "a third kernel", "token": "y"}))

    monkeypatch.setattr(claims.time, "sleep", write_the_others)
    with pytest.raises(Claimed, match="process 9 on third"):
        FileClaim(path, LEASE)
    assert "third" in path.read_text()  # the other's claim stays


def test_a_holder_renews_and_notices_that_it_has_lost_its_lease(path):
    with kept(FileClaim(path, 0.2), 0.2) as claim:
        first = path.stat().st_mtime
        time.sleep(0.3)
        assert path.stat().st_mtime > first
        claim.check()
        path.write_text(json.dumps({"holder": "process 7 on far", "machine": "another kernel", "token": "x"}))
        with pytest.raises(Claimed, match="process 7 on far"):
            claim.check()
    assert path.exists()  # the claim of the other is not removed


def test_where_there_are_no_locks_the_lease_alone_decides(path, monkeypatch):
    def unknown(file, operation):
        raise OSError(claims.errno.ENOLCK, "No locks available")

    monkeypatch.setattr(claims.fcntl, "flock", unknown)
    monkeypatch.setattr(claims, "SETTLED_SECONDS", 0.01)
    claim = FileClaim(path, LEASE)
    with pytest.raises(Claimed, match=f"process {os.getpid()} on "):
        FileClaim(path, LEASE)
    os.utime(path, (time.time() - LEASE - 5,) * 2)
    other = FileClaim(path, LEASE)
    with pytest.raises(Claimed):
        claim.check()
    other.check()


@pytest.mark.parametrize("content", [b"", b"process 12 on here", b"[1]"])
def test_a_claim_without_a_holder_is_free_after_a_while(path, monkeypatch, content):
    monkeypatch.setattr(claims, "SETTLED_SECONDS", 0.01)
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(Claimed, match="another process"):
        FileClaim(path, LEASE)
    os.utime(path, (time.time() - LEASE - 1,) * 2)
    FileClaim(path, LEASE).release()
