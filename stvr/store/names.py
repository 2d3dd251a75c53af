"""Names of videos as folders of a store, and back: what no folder can be called is escaped."""

from __future__ import annotations

import re
import unicodedata

FIRST = re.compile(r"^%(2E|5F|7A)")  # "." and "_" and the z of zarr.json, where a name may not begin with them
SLASH = re.compile(r"%((?:25)*)2F")


def folder_of(video: str) -> str:
    """"day1/clip" is kept in "day1%2Fclip"; nearly every other name is its own folder."""
    escaped = SLASH.sub(r"%25\g<1>2F", video).replace("/", "%2F")
    if escaped.startswith((".", "__")) or escaped == "zarr.json":
        return f"%{ord(escaped[0]):02X}{escaped[1:]}"
    return escaped


def video_of(folder: str) -> str:
    """The video that a folder holds, in Unicode's form C."""
    plain = FIRST.sub(lambda match: chr(int(match[1], 16)), folder)
    plain = SLASH.sub(lambda match: f"%{match[1][2:]}2F" if match[1] else "/", plain)
    return unicodedata.normalize("NFC", plain)
