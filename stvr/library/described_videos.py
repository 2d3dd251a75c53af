"""Which videos an index has described, each in a file of its own, and who describes one just now."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stvr.library.described import notes_of
from stvr.store.claims import LEASE_SECONDS, Claimed, FileClaim, kept
from stvr.store.names import folder_of

VIDEOS, CLAIMS = "videos", ".claims"
WAIT_SECONDS = 0.5


def file_of(folder: Path, video: str) -> Path:
    return folder / VIDEOS / f"{folder_of(video)}.safetensors"


def described(folder: Path) -> dict[str, dict[str, Any]]:
    """Video -> its notes, sorted by name."""
    found = [notes_of(file) for file in (folder / VIDEOS).glob("*.safetensors")]
    return {each["name"]: each for each in sorted(found, key=lambda each: str(each["name"]))}


def is_described(file: Path, made_by: str, digest: str) -> bool:
    """Whether the rows of a video are there, made so of that file."""
    notes = notes_of(file) if file.is_file() else {}
    return (notes.get("made_by"), notes.get("digest")) == (made_by, digest)


@contextmanager
def claimed(folder: Path, video: str) -> Iterator[None]:
    """Nobody else describes the video meanwhile. Claimed, a ValueError, when somebody does."""
    with kept(FileClaim(folder / CLAIMS / folder_of(video), LEASE_SECONDS), LEASE_SECONDS):
        yield


@contextmanager
def waited_for(folder: Path, what: str) -> Iterator[None]:
    """The same, but waits until it is free."""
    while True:
        try:
            claim = FileClaim(folder / CLAIMS / f"__{what}", LEASE_SECONDS)
            break
        except Claimed:
            time.sleep(WAIT_SECONDS)
    with kept(claim, LEASE_SECONDS):
        yield
