"""A label is a set of actions: "1,3" as text, "nod + wave" by name; a class is "12: stand"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

JOIN = " + "  # between the names of the actions of one label


def label_text(actions: Iterable[object]) -> str:
    """(1, 3) as "1,3"."""
    return ",".join(map(str, actions))


def actions_of(label: str) -> list[str]:
    """ "1,3" as ["1", "3"]."""
    return label.split(",")


def label_name(label: str | Iterable[Any], names: Mapping[Any, str]) -> str:
    """ "1,3", or its actions (1, 3), as "nod + wave". names: of the actions; one without a name keeps its id."""
    actions = actions_of(label) if isinstance(label, str) else label
    return JOIN.join(names.get(action, str(action)) for action in actions)


def numbered(number: int, name: str) -> str:
    """12 and "stand" as "12: stand", a line of a label map."""
    return f"{number}: {name}"


def number_and_name(text: str) -> tuple[int, str]:
    """The inverse of `numbered`. ValueError for a text that is none."""
    number, colon, name = text.partition(": ")
    if not colon or not number.isdecimal() or not name:
        raise ValueError(f"wanted a class such as '12: stand', got {text!r}.")
    return int(number), name
