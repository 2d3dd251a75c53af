"""The folder that fetched weights are kept in, and what can go wrong there."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CACHE = "STVR_CACHE"  # the environment variable that names another folder than the user's usual one
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def cache_folder() -> Path:
    """Where fetched weights are kept: $STVR_CACHE/weights, or else in the user's own cache."""
    from platformdirs import user_cache_dir  # the backbones themselves need torch alone

    return Path(os.environ.get(CACHE) or user_cache_dir("stvr", appauthor=False)) / "weights"


@contextmanager
def room_for(path: Path) -> Iterator[None]:
    """Makes the cache's folder; its faults become OSError in one line, and no half of `path` is left in it.

    Halves that a killed process left are removed, too.
    """
    from safetensors import SafetensorError

    folder = path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(f"the cache {folder} cannot be written ({error.strerror}). "
                      f"Name another folder by the environment variable {CACHE}.") from None
    try:
        yield
    except (OSError, SafetensorError) as error:
        if getattr(error, "errno", None) not in NO_SPACE and os.strerror(errno.ENOSPC) not in str(error):
            raise
        raise OSError(f"the disk of the cache {folder} is full. Free some space, or name another folder by the "
                      f"environment variable {CACHE}.") from None
    finally:
        for half in folder.glob(f"{path.stem}.*.partial"):
            half.unlink(missing_ok=True)
