"""The folder that a video of any name has in a store: where the name cannot be a folder's, signs of it are escaped."""

from __future__ import annotations

import re

ESCAPED = re.compile(r"^\.|^_(?=_)|^z(?=arr\.json$)|/|%(?=2E|5F|7A|2F|25)")  # and what an escape looks like
ESCAPE = re.compile("%(2E|5F|7A|2F|25)")


def folder_of(video: str) -> str:
    """ValueError for no name at all. "day1/clip" lies in "day1%2Fclip"; most names are their own folders."""
    if not video:
        raise ValueError("a video in a store needs a name, not ''.")
    return ESCAPED.sub(lambda sign: f"%{ord(sign[0]):02X}", video)


def video_of(folder: str) -> str:
    return ESCAPE.sub(lambda code: chr(int(code[1], 16)), folder)
