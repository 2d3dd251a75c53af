"""Writes the pages of docs/ that follow from the code: map.md from docstrings, commands.md from the command line."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WRITTEN_BY = "<!-- Written by `python scripts/write_docs.py`; change the {} instead. -->"
MAP_HEAD = """# Map of the house

{written}

A line for every file, from its own docstring. A room uses the rooms on the floors below its own, never beside or above
it; `lint-imports` checks this. How to add to the house is on [its own page](extending.md).

| floor | rooms |
|---|---|
{floors}
"""
COMMANDS_HEAD = """# Commands

{written}

`stvr COMMAND --help` says the same in a terminal. An option in **bold** is required. A user's mistake is reported in
one line on standard error, with exit status 2.
"""


def main() -> None:
    for name, text in pages().items():
        (ROOT / "docs" / name).write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """The text of each page by its name in docs/."""
    return {"map.md": map_page(), "commands.md": commands_page()}


def map_page() -> str:
    floors = read_floors()
    numbered = [f"| {len(floors) - index} | {rooms_line(rooms)} |" for index, rooms in enumerate(floors)]
    head = MAP_HEAD.format(written=WRITTEN_BY.format("docstrings"), floors="\n".join(numbered))
    rooms = [room for floor in floors for room in floor if (ROOT / "stvr" / room).is_dir()]
    parts = [head, face_table(), *(room_table(ROOT / "stvr" / room) for room in rooms)]
    beside = [outer_table("scripts", "Run by hand, or by `make test`."), outer_table("benchmarks", "What is timed.")]
    return "\n".join([*parts, *beside, tests_note()])


def read_floors() -> list[list[str]]:
    """The rooms of each floor, the top floor first, as in the import contract."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    (floors,) = (each["layers"] for each in contracts if each["type"] == "layers")
    return [[room.strip() for room in floor.split("|")] for floor in floors]


def rooms_line(rooms: list[str]) -> str:
    return ", ".join(f"`{room}/`" if (ROOT / "stvr" / room).is_dir() else f"`{room}.py`" for room in rooms)


def face_table() -> str:
    files = sorted((ROOT / "stvr").glob("*.py"))
    return table("`stvr/`", "The face of the package, and tools that know nothing of video.", files, ROOT / "stvr")


def room_table(room: Path) -> str:
    files = [file for file in sorted(room.rglob("*.py")) if file != room / "__init__.py"]
    return table(f"`stvr/{room.name}/`", summary(room / "__init__.py"), files, room)


def outer_table(folder: str, what: str) -> str:
    files = sorted([*(ROOT / folder).glob("*.py"), *(ROOT / folder).glob("*.sh")])
    return table(f"`{folder}/`", what, files, ROOT / folder)


def table(title: str, what: str, files: list[Path], folder: Path) -> str:
    lines = [f"| `{file.relative_to(folder).as_posix()}` | {cell(summary(file))} |" for file in files]
    rows = ["| file | what it is for |", "|---|---|", *lines, ""] if lines else []
    return "\n".join([f"## {title}", "", what, "", *rows])


def tests_note() -> str:
    rooms = sorted(folder.name for folder in (ROOT / "tests").iterdir() if any(folder.rglob("test_*.py")))
    tree = ", ".join(f"`{room}/`" for room in rooms)
    return f"## `tests/`\n\nThe same tree again: {tree}. Each test is named after the promise that it checks.\n"


def summary(file: Path) -> str:
    """The first line of a module's docstring, or of a shell script's comment."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".sh":
        comment = next(line.lstrip("# ") for line in text.splitlines() if line.startswith("# "))
        return comment.split(". ")[0]
    return (ast.get_docstring(ast.parse(text)) or "").split("\n")[0]


def commands_page() -> str:
    import typer.main

    from stvr.cli import app

    head = COMMANDS_HEAD.format(written=WRITTEN_BY.format("help texts"))
    commands = leaves("stvr", typer.main.get_command(app))
    return "\n".join([head, *(command_part(name, command) for name, command in commands)])


def leaves(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Every command that does something, with its whole name, such as `stvr score ava`."""
    if not hasattr(command, "list_commands"):
        yield name, command
        return
    for word in command.list_commands(None):
        yield from leaves(f"{name} {word}", command.get_command(None, word))


def command_part(name: str, command: Any) -> str:
    rows = [f"| {spelled(each)} | {cell(each.help or '')}{default_of(each)} |" for each in command.params]
    text = [f"## {name}", "", command.help or "", "", "| option | |", "|---|---|", *rows, ""]
    return "\n".join(text if rows else text[:4])


def spelled(parameter: Any) -> str:
    """`--out`, in bold if it is required; an argument in capitals."""
    names = parameter.opts if parameter.param_type_name == "option" else [parameter.name.upper()]
    text = ", ".join(f"`{name}`" for name in [*names, *parameter.secondary_opts])
    return f"**{text}**" if parameter.required else text


def default_of(parameter: Any) -> str:
    value = parameter.default
    shown = isinstance(value, str | int | float | Path) and not isinstance(value, bool) and not parameter.required
    return f" (default: `{value}`)" if shown else ""


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    main()
