"""Look into the JSON of other tools: a value by its key, or one line that says which key was wanted where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

NOBODY = ("", "-1")  # what stands for no identity, besides nothing
LARGEST = 10**9  # that a frame, a size or an id may be


def wanted(entry: Any, key: str, where: str) -> Any:
    """The value of a key that must be there. ValueError names it, and the keys that are there."""
    if not isinstance(entry, dict):
        raise ValueError(f"{where} is a {type(entry).__name__}, wanted an object with the key {key!r}.")
    if entry.get(key) is None:
        raise ValueError(f"{where} has no {key!r}; it has {', '.join(map(repr, entry)) or 'nothing'}.")
    return entry[key]


def id_of(entry: Any, key: str, where: str) -> float | str:
    """The number or text by which one entry names another."""
    value = wanted(entry, key, where)
    if not isinstance(value, (int, float, str)):
        raise ValueError(f"{key!r} of {where} is {value!r}, wanted a number.")
    return value


def entries(content: Any, key: str, where: str) -> list[dict[str, Any]]:
    """The list of objects that stands at a key."""
    values = wanted(content, key, where)
    if not isinstance(values, list):
        raise ValueError(f"{key!r} of {where} is a {type(values).__name__}, wanted a list.")
    wrong = [index for index, value in enumerate(values) if not isinstance(value, dict)]
    if wrong:
        raise ValueError(f"{key}[{wrong[0]}] of {where} is a {type(values[wrong[0]]).__name__}, wanted an object.")
    return values


def inner(entry: dict[str, Any], key: str, where: str) -> dict[str, Any]:
    """The object that stands at a key; an empty one where nothing does."""
    value = entry.get(key)
    if value is not None and not isinstance(value, dict):
        raise ValueError(f"{key!r} of {where} is a {type(value).__name__}, wanted an object.")
    return value or {}


def number(value: Any, what: str) -> float:
    """ValueError for what is no number; a text that is one counts."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{what} is {value!r}, wanted a number.") from None


def whole_number(value: Any, what: str) -> int:
    found = number(value, what)
    if not found.is_integer() or abs(found) > LARGEST:
        raise ValueError(f"{what} is {value!r}, wanted a whole number.")
    return int(found)


def corner_and_sides(value: Any, where: str) -> tuple[float, float, float, float]:
    """x, y, width, height as x1, y1, x2, y2."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 4:
        raise ValueError(f"{where}: the box is {value!r}, wanted [x, y, width, height].")
    x, y, width, height = (number(edge, f"{where}: an edge of the box") for edge in value)
    return x, y, x + width, y + height


def who(*values: Any) -> str:
    """The first of the values that names somebody; "" if none does."""
    names = (str(value).strip() for value in values if value is not None)
    return next((name for name in names if name not in NOBODY), "")
