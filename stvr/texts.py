"""Read the text and JSON files of other programs: UTF-8 with or without its mark, or UTF-16."""

from __future__ import annotations

import json
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from pathlib import Path
from typing import Any

NAMES = {"utf-8-sig": "UTF-8", "utf-16": "UTF-16"}


def read_text(path: Path) -> str:
    """The text without a byte-order mark, every line ended by a line feed. ValueError, one line, for anything else."""
    data = path.read_bytes()
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        text = _decoded(data, "utf-16", path)
    else:
        text = _decoded(data, "utf-8-sig", path)
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(f"{path.name}, line {line}: a zero byte, so this is no text, or UTF-16 without its mark. Save "
                         "it as UTF-8.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: Path) -> Any:
    """The value that a JSON file holds. ValueError, one line, for a file that is none."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path.name} is not JSON: line {error.lineno}: {error.msg}.") from None
    except RecursionError:
        raise ValueError(f"{path.name} is not JSON that can be read: it is nested too deeply.") from None


def _decoded(data: bytes, encoding: str, path: Path) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path.name}, line {line}: byte {data[error.start]:#04x} is not {NAMES[encoding]}: the "
                         "file has another encoding, Latin-1 perhaps, or is damaged. Save it as UTF-8.") from None
