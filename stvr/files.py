"""Files that appear whole or not at all, whenever a process is stopped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to, put in its place by a rename when the block ends without an error."""
    partial = path.with_name(f"{path.name}.partial")
    yield partial
    os.replace(partial, path)
