"""Which reader reads a file: the one that is named, or the one that recognises it."""

from __future__ import annotations

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from stvr.annotations import READERS
from stvr.annotations.rows import Rows, with_shared_videos
from stvr.config import fill

BEGINNING = 65536  # bytes, in which the first line is looked for


def read_rows(files: Sequence[Path], kind: str | None, values: Mapping[str, Any],
              videos: Collection[str] = ()) -> list[Rows]:
    """The rows of each file as they stand; a label id, and the name of a video, mean the same in all of them.

    kind: the reader's name; None: each file is recognised. values: options by name; those that the reader does not
    have are ignored. videos: the names of the video files, where they are known.
    Raises: ValueError for an unknown kind, and for files of several kinds.
    """
    kinds = {kind or kind_of(path) for path in files}
    if len(kinds) != 1:
        raise ValueError(f"the files are of several kinds ({', '.join(sorted(kinds))}). Check each kind by itself.")
    name = kinds.pop()
    if name not in READERS:
        raise ValueError(f"the kind of annotations is one of {', '.join(READERS)}, not {name!r}.")
    reader = READERS[name]
    return with_shared_videos(reader.rows(files, fill(reader.options, flags=reader.usable(values))), videos)


def kind_of(path: Path) -> str:
    """The name of the reader that recognises a file or folder.

    The menu is asked from its end: readers of other packages first, and AVA's last, which accepts everything and says
    what is wrong with it.
    """
    lines = [""] if path.is_dir() else first_lines(path)
    return next(name for name in reversed(list(READERS)) for line in lines if READERS[name].recognises(path, line))


def first_lines(path: Path) -> list[str]:
    """The first line, and the first that is no comment, of a file in any encoding; "" where its beginning has none."""
    with path.open("rb") as file:
        data = file.read(BEGINNING)
    text = data.decode("utf-16" if data[:2] in (BOM_UTF16_LE, BOM_UTF16_BE) else "utf-8-sig", errors="replace")
    lines = [line for each in text.splitlines() if (line := each.strip())] or [""]
    return [lines[0], next((line for line in lines if not line.startswith("#")), lines[0])]
