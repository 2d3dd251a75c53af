"""Which files the page may look at: the library's videos and those uploaded, each by an id of ours."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stvr.studio.shelf import ShelfVideo


@dataclass(frozen=True, slots=True)
class Entry:
    """real: where the file lay when it was taken in, links followed. uploaded: through the page."""

    id: str
    video: ShelfVideo
    real: Path
    uploaded: bool = False


class Catalogue:
    """Videos by id. An id holds for a file as it is: of a file that was changed, it is another."""

    def __init__(self, videos: Sequence[ShelfVideo]) -> None:
        self._entries: dict[str, Entry] = {}
        self._ids: dict[Path, str] = {}
        for video in videos:
            self.add(video)

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(list(self._entries.values()))

    def add(self, video: ShelfVideo, uploaded: bool = False) -> Entry:
        real = video.path.resolve()
        now = real.stat() if real.is_file() else None
        facts = (str(real), now and now.st_size, now and now.st_mtime_ns, video.name)
        entry = Entry(hashlib.sha256(repr(facts).encode()).hexdigest()[:16], video, real, uploaded)
        self._entries[entry.id], self._ids[video.path] = entry, entry.id
        return entry

    def __getitem__(self, key: str) -> Entry:
        """LookupError, one line, for an unknown id, and for a file that is gone or leads elsewhere by now."""
        entry = self._entries.get(key)
        if entry is None:
            raise LookupError("there is no such video here. Reload the page.")
        if not entry.real.is_file() or entry.video.path.resolve() != entry.real:
            raise LookupError(f"{entry.video.name} is not at hand: its file was moved or taken away.")
        return entry

    def id_of(self, path: Path) -> str:
        """"" for a file that is not in it."""
        return self._ids.get(path, "")


def inside(root: Path, paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Files that lie in the folder, links followed, and those whose links lead out of it."""
    real = root.resolve()
    kept = [path for path in paths if path.resolve().is_relative_to(real)]
    return kept, [path for path in paths if path not in kept]
