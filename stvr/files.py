"""Files that appear whole or not at all, whenever a process is stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to, put in its place by a rename when the block ends without an error."""
    partial = path.with_name(f"{path.name}.partial")
    yield partial
    os.replace(partial, path)


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8; makes the folder if there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, values: Any) -> None:
    """Writes `values` as indented JSON; makes the folder if there is none."""
    write_text(path, json.dumps(values, indent=1) + "\n")
