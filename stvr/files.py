"""Write files that appear whole or not at all, whenever the process is stopped."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

UMASK = os.umask(0o022)
os.umask(UMASK)  # asking is setting


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to, renamed to `path` when the block ends without an error.

    It may be read by whom the user's umask allows, however the block made it. IsADirectoryError when `path` is a
    folder.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, but a file is to be written there. Give another name.")
    partial = path.with_name(f"{path.name}.partial")
    try:
        yield partial
        if partial.is_file():
            partial.chmod(0o666 & ~UMASK)
        os.replace(partial, path)
    except BaseException:
        if partial.is_file():
            partial.unlink()
        raise


def check_folder(out: Path) -> None:
    """Before long work: NotADirectoryError or PermissionError where `out`, made or not, cannot be written to."""
    there = next(each for each in (out, *out.absolute().parents) if each.exists())
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))
    if not os.access(there, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(there))


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8, whole or not at all; makes the folder if there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_bytes(path: Path, content: bytes) -> None:
    """Writes `content`, whole or not at all; makes the folder if there is none.

    For tensors too (of `safetensors.torch.save`): `save_file` has files of its own beside the one it is to write, which
    stay, each under another name, when the process is killed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as partial:
        partial.write_bytes(content)


def write_json(path: Path, values: Any) -> None:
    """Writes `values` as indented JSON, whole or not at all; makes the folder if there is none."""
    write_text(path, json.dumps(values, indent=1) + "\n")
