"""A video file for the browser's own player, whole or a range of it."""

from __future__ import annotations

import re
from pathlib import Path

from fastapi import HTTPException
from fastapi.responses import FileResponse

TYPES = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/mp4", ".webm": "video/webm", ".mkv": "video/webm",
         ".ogv": "video/ogg"}  # fmt: skip
RANGE = re.compile(r"bytes=(\d{1,18})?-(\d{1,18})?")


def served_file(path: Path, wanted: str | None) -> FileResponse:
    """wanted: the request's Range. 416 for one that is none, that lies outside the file, or that is several."""
    if wanted is not None:
        size = path.stat().st_size
        found = RANGE.fullmatch(wanted.strip())
        first, last = (found[1], found[2]) if found else (None, None)
        begins = int(first) if first else max(size - int(last or 0), 0)
        if found is None or begins >= size or (first and last and int(last) < begins):
            raise HTTPException(416, "wanted one range of bytes inside the file.", {"Content-Range": f"bytes */{size}"})
    return FileResponse(path, media_type=TYPES.get(path.suffix.lower(), "application/octet-stream"))
