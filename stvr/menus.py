"""Menus: what can be chosen by name, ours and what other packages bring by entry points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, cast

Entry = TypeVar("Entry")


class PartFault(RuntimeError):
    """A part from a menu does not do what it promises: one line that names it, and what it did."""


class Menu(Mapping[str, Entry], Generic[Entry]):
    """Names and entries, in order: ours first, then those of installed packages, in the order of their names.

    what: one entry, as an error message calls it. group: the entry-point group that other packages add to. needs: what
    an entry must have. An entry of ours may be written "module:attribute", as entry points are: it is imported when it
    is first asked for, so that listing a menu imports nothing. A package cannot take a name of ours.
    """

    def __init__(
        self, what: str, group: str, own: Mapping[str, Entry | str], needs: Sequence[str] = ()
    ) -> None:  # fmt: skip
        self.what, self.group, self.needs, self._own = what, group, needs, dict(own)
        self._loaded: dict[str, Entry] = {}

    @cached_property
    def _others(self) -> dict[str, EntryPoint]:
        found = sorted(entry_points(group=self.group), key=lambda point: point.name)
        return {point.name: point for point in found if point.name not in self._own}

    def __getitem__(self, name: str) -> Entry:
        """LookupError, which lists the menu, for a name that is not on it or a package that cannot be imported."""
        if not isinstance(name, str):
            raise LookupError(f"the name of a {self.what} is a text, got {name!r}. Choose one of {', '.join(self)}.")
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter([*self._own, *self._others])

    def __len__(self) -> int:
        return len(self._own) + len(self._others)

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._others

    def _load(self, name: str) -> Entry:
        if name in self._own:
            entry = self._own[name]
            return cast(Entry, imported(entry)) if isinstance(entry, str) else entry
        if name not in self._others:
            raise LookupError(f"there is no {self.what} {name!r}. Choose one of {', '.join(self)}.")
        point = self._others[name]
        try:
            entry = cast(Entry, point.load())
        except Exception as error:  # whatever that package raises
            reason = f"{type(error).__name__}: {error}"
            raise LookupError(f"the {self.what} {name!r} comes from {point.value}, which cannot be imported: {reason}. "
                              "Mend or uninstall that package.") from error
        if lacking := [each for each in self.needs if not hasattr(entry, each)]:
            raise LookupError(f"the {self.what} {name!r} comes from {point.value}, which is no entry of the menu: it "
                              f"lacks {', '.join(lacking)}. Mend or uninstall that package.")
        return entry


def imported(place: str) -> Any:
    """What "module:attribute" names."""
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)
