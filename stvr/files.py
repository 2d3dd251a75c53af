"""Write files that appear whole or not at all, whenever the process is stopped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to, renamed to `path` when the block ends without an error.

    IsADirectoryError when `path` is a folder.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, but a file is to be written there. Give another name.")
    partial = path.with_name(f"{path.name}.partial")
    yield partial
    os.replace(partial, path)
