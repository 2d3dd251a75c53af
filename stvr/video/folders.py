"""Which files of a folder are its videos: one rule for every command."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath

from stvr.video_names import VIDEO_ENDINGS

SUFFIXES = VIDEO_ENDINGS
MAY_BE_TEXT = (".ts", ".mts")  # TypeScript, and Qt's translations
STORE = "zarr.json"  # a folder with this file is a store: no videos are in there


def videos_in(folder: Path, tell: Callable[[str], None]) -> list[Path]:
    """All files in a folder, and in the folders in it, that are named like videos, sorted; hidden ones are passed over.

    tell: is given a line on files that are not named like videos, and on each text that is.
    """
    found, others = [], Counter[str]()
    for path in sorted(_files(folder)):
        if path.suffix.lower() not in SUFFIXES:
            others[path.suffix.lower() or "no ending"] += 1
        elif path.suffix.lower() in MAY_BE_TEXT and is_text(path):
            tell(f"{path} is left out: it is a text, not a transport stream")
        else:
            found.append(path)
    if others:
        names = ", ".join(f"{many} {name}" for name, many in sorted(others.items()))
        count = sum(others.values())
        what = "1 file is left out, which is" if count == 1 else f"{count} files are left out, which are"
        tell(f"{folder}: {what} not named like {'a video' if count == 1 else 'videos'}: {names}")
    return found


def is_hidden(path: PurePath) -> bool:
    """Whether a file, or a folder on the way to it, has a name that begins with a dot; macOS writes such copies."""
    return any(part.startswith(".") for part in path.parts)


def is_text(path: Path) -> bool:
    """Whether the beginning of a file is UTF-8 without control characters; an empty file is no text."""
    try:
        with path.open("rb") as file:
            begin = file.read(4096)
    except OSError:
        return False
    content = begin.decode("utf-8", errors="ignore")
    whole = len(content.encode()) >= len(begin) - 3  # a character may be cut in two
    return bool(begin) and whole and not any(sign < " " and sign not in "\t\n\r\f" for sign in content)


def _files(folder: Path) -> Iterator[Path]:
    """Links to folders are followed, once each."""
    seen = set[str]()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen or STORE in files:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place, name) for name in files if not name.startswith("."))
