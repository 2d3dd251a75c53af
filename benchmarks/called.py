"""How a benchmark is called: what is wrong with its words is one line on standard error, and exit status 2."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from stvr.commands import usable


class Parser(argparse.ArgumentParser):
    """Shows the docstring of a script as its help, and an error without the usage."""

    def __init__(self, about: str | None) -> None:
        super().__init__(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


@contextmanager
def told_in_one_line() -> Iterator[None]:
    """What does not fit together in the block ends the script, without a traceback."""
    try:
        yield
    except (LookupError, OSError, ValueError) as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        raise SystemExit(2) from error


def above_zero(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"wanted a whole number of 1 or more, got {text!r}.")
    return int(text)


def some_of(menu: Collection[str]) -> Callable[[str], list[str]]:
    """Reads names joined by commas."""

    def chosen(text: str) -> list[str]:
        names = list(dict.fromkeys(text.split(",")))
        if unknown := [name for name in names if name not in menu]:
            raise argparse.ArgumentTypeError(f"there is no {unknown[0]!r}. Choose from {', '.join(menu)}.")
        return names

    return chosen


def device(text: str) -> str:
    """One that this machine has."""
    try:
        return usable(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
