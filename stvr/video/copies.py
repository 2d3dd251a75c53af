"""Any video as a local file: a file as it is, an object in a bucket as a temporary copy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from stvr.video.decode import VideoError
from stvr.video.source import Source, fetched


@contextmanager
def local(source: Source) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A file that can be opened, and what to record about its origin. VideoError when it cannot be fetched."""
    if isinstance(source, Path):
        yield source, {}
        return
    with ExitStack() as stack:
        try:
            path, etag = stack.enter_context(fetched(source))
        except (FileNotFoundError, ConnectionError) as error:
            raise VideoError(str(error)) from error
        yield path, {"object": {"url": source.url, "etag": etag}}
