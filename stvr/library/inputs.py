"""What a library is named by: folders, files, lists of files, buckets, stores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stvr.store import is_store
from stvr.video.folders import SUFFIXES, videos_in
from stvr.video.source import BucketFile, Source, files_at, is_in_bucket
from stvr.video_names import names_of

LISTS = (".txt", ".list", ".lst")


@dataclass(frozen=True, slots=True)
class Named:
    """files: video files and objects in buckets. stores: feature stores, whose videos need no file any more."""

    files: tuple[Source, ...]
    stores: tuple[str, ...]


def read_sources(names: Sequence[Path | str], tell: Callable[[str], None]) -> Named:
    """FileNotFoundError for what is not there, or where no video is. tell: is given a line on what is left out."""
    files, stores = list[Source](), list[str]()
    for name in names:
        if is_in_bucket(str(name)):
            (stores.append(str(name)) if is_store(str(name)) else files.extend(files_at(str(name), SUFFIXES)))
        elif (path := Path(name)).is_dir():
            (stores.append(str(path)) if is_store(path) else files.extend(videos_in(path, tell)))
        elif not path.exists():
            raise FileNotFoundError(f"{path} does not exist. Name videos, folders, lists of files, or a store.")
        else:
            files += read_list(path) if path.suffix.lower() in LISTS else [path]
    if not files and not stores:
        raise FileNotFoundError(f"there is no video in {', '.join(map(str, names))}. Name videos, folders of them, a "
                                "list of files, or a store.")
    return Named(tuple(dict.fromkeys(files)), tuple(dict.fromkeys(stores)))


def read_list(path: Path) -> list[Source]:
    """A file a line, counted from the list's own folder; empty lines and those that begin with # are passed over."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    found: list[Source] = []
    for line in lines:
        if line and not line.startswith("#"):
            file = BucketFile(line) if is_in_bucket(line) else path.parent / line
            if isinstance(file, Path) and not file.is_file():
                raise FileNotFoundError(f"{path} names {line}, which is not there. Mend the list.")
            found.append(file)
    return found


def named(files: Sequence[Source], known: Mapping[str, str]) -> dict[str, Source]:
    """Files by the names of their videos. known: path -> name of those that an index has, which keep theirs."""
    chosen = {known[where]: file for file in files if (where := address(file)) in known}
    fresh = names_of([file for file in files if address(file) not in known])
    taken = {*known.values()}
    return chosen | {(long_name(file) if name in taken else name): file for name, file in fresh.items()}


def long_name(file: Source) -> str:
    """With the folder it lies in, for one whose short name another video has."""
    path = Path(str(file))
    return f"{path.parent.name}/{path.stem}"


def address(file: Source) -> str:
    """Where a file lies, said in one way."""
    return str(file.resolve()) if isinstance(file, Path) else str(file)
