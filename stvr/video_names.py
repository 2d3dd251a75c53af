"""How a video is called: its path below the folder that all of them share, or its stem alone where that is unique.

The same name is given to files, and to what annotations call them: in Unicode's form C, without the ending.
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import PurePosixPath
from typing import Any, TypeVar

VIDEO_ENDINGS = frozenset({
    ".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".flv", ".ogv",
    ".3gp", ".3g2", ".vob", ".asf", ".divx", ".mxf",
})  # fmt: skip

V = TypeVar("V")
T = TypeVar("T")


def plain_name(text: object) -> str:
    r"""What an annotation calls a video, in one spelling: "Sport\v_1_c001.mp4" is "Sport/v_1_c001"."""
    path = PurePosixPath(unicodedata.normalize("NFC", str(text).strip()).replace("\\", "/"))
    if path.suffix.lower() in VIDEO_ENDINGS:
        path = path.with_suffix("")
    return path.as_posix().lstrip("/").removeprefix("./")


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Plain names by their short forms: the last part where no other has it, else all below the folder they share."""
    every = list(dict.fromkeys(names))
    times = Counter(PurePosixPath(name).name for name in every)
    shared = _shared_folder(every)
    return {name: last if times[last := PurePosixPath(name).name] == 1 else name[len(shared):] for name in every}


def names_of(paths: Sequence[T]) -> dict[str, T]:
    """Files (paths, or objects in buckets) by name. ValueError where two would be called alike, as clip.mp4, clip.avi.

    A file of any ending loses it: only files are named here, never what people write.
    """
    plain: dict[str, T] = {}
    for path in paths:
        whole = PurePosixPath(unicodedata.normalize("NFC", _absolute(path)))
        name = whole.with_suffix("").as_posix()
        if name in plain and _absolute(plain[name]) != _absolute(path):
            raise ValueError(f"{plain[name]} and {path} would both be called {whole.stem!r}. Rename one, or leave it "
                             "out.")
        plain[name] = path
    return {short: plain[name] for name, short in short_names(plain).items()}


class ByVideo(Mapping[str, V]):
    """Values of videos by name, found under any spelling: with ending or folders, or without, in any Unicode form.

    A spelling that could mean two videos finds neither.
    """

    def __init__(self, values: Mapping[str, V]) -> None:
        self._values = dict(values)
        self._names: dict[str, str | None] = {}
        for name in self._values:
            for ending in _endings(plain_name(name)):
                self._names[ending] = None if ending in self._names else name
        self._names |= {plain_name(name): name for name in self._values}

    def name(self, text: object) -> str | None:
        """The name of the video that an annotation means, None where there is none."""
        plain = plain_name(text)
        spellings = (plain, str(PurePosixPath(plain).with_suffix("")) if PurePosixPath(plain).name else plain)
        return next((name for spelling in spellings for ending in _endings(spelling)
                     if (name := self._names.get(ending))), None)

    def __getitem__(self, text: str) -> V:
        name = text if text in self._values else self.name(text)
        if name is None:
            raise KeyError(text)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def _endings(name: str) -> Iterator[str]:
    """"a/b/c", then "b/c", then "c"."""
    parts = name.split("/")
    return ("/".join(parts[start:]) for start in range(len(parts)))


def _shared_folder(names: Sequence[str]) -> str:
    """The folders that all names begin with, and the slash after them."""
    folders = zip(*(name.split("/")[:-1] for name in names), strict=False)
    return "".join(f"{same[0]}/" for same in takewhile(lambda parts: len(set(parts)) == 1, folders))


def _absolute(path: Any) -> str:
    """The whole path of a file; an object in a bucket keeps its address."""
    text = str(path)
    return text if "://" in text or ":/" in text else os.path.abspath(text).replace(os.sep, "/")
