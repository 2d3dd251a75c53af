"""Which reader reads a file: the one that is named, or the one that recognises it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stvr.annotations import READERS
from stvr.annotations.rows import Rows, with_shared_videos
from stvr.config import fill


def read_rows(files: Sequence[Path], kind: str | None, values: Mapping[str, Any]) -> list[Rows]:
    """The rows of each file as they stand, one label id meaning the same in all of them.

    kind: the reader's name; None: each file is recognised. values: options by name; those that the reader does not
    have are ignored.
    Raises: ValueError for an unknown kind, and for files of several kinds.
    """
    kinds = {kind or kind_of(path) for path in files}
    if len(kinds) != 1:
        raise ValueError(f"the files are of several kinds ({', '.join(sorted(kinds))}). Check each kind by itself.")
    name = kinds.pop()
    if name not in READERS:
        raise ValueError(f"the kind of annotations is one of {', '.join(READERS)}, not {name!r}.")
    reader = READERS[name]
    return with_shared_videos(reader.rows(files, fill(reader.options, flags=reader.usable(values))))


def kind_of(path: Path) -> str:
    """The name of the reader that recognises a file or folder.

    The menu is asked from its end: readers of other packages first, and AVA's last, which accepts everything and says
    what is wrong with it.
    """
    line = "" if path.is_dir() else first_line(path)
    return next(name for name in reversed(list(READERS)) if READERS[name].recognises(path, line))


def first_line(path: Path) -> str:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return file.readline().strip()
