"""The documentation says what is so: commands, options, links, paths, names, and the pages that the code writes."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from write_docs import pages

import stvr
from stvr.cli import app
from stvr.jobs.train import train_options

ROOT = Path(__file__).resolve().parents[1]
GUIDES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
MENU = typer.main.get_command(app)
OF_OTHERS = {"--nproc-per-node", "--full"}  # torchrun's; of a script


@pytest.mark.parametrize("name", ["map.md", "commands.md"])
def test_pages_that_the_code_writes_are_up_to_date(name):
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert written == pages()[name], "run `python scripts/write_docs.py` and commit what it wrote"


def test_the_map_has_a_line_for_every_file_of_the_package():
    lines = (ROOT / "docs" / "map.md").read_text(encoding="utf-8").splitlines()
    room = ""
    listed = set()
    for line in lines:
        if heading := re.match(r"## `(.+)/`", line):
            room = heading[1]
        elif row := re.match(r"\| `(.+?\.(?:py|sh))` \| .{10,} \|", line):
            listed.add(f"{room}/{row[1]}")
    rooms = {f"stvr/{folder.name}/__init__.py" for folder in (ROOT / "stvr").iterdir() if folder.is_dir()}
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "stvr").rglob("*.py")}
    assert files - rooms <= listed  # a room's own line stands below its heading
    assert all((ROOT / path).is_file() for path in listed)


def test_the_readme_takes_a_minute():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) < 140
    assert "others" in lines[0] or "other videos" in lines[0]


def test_every_command_line_would_be_accepted():
    for line in (line for guide in GUIDES for line in command_lines(guide)):
        name, command, words = find_command(shlex.split(line, comments=True))
        if words != ["--help"]:
            command.make_context(name, [word.replace("$row", "none") for word in words])  # raises what does not fit


def test_every_option_in_the_text_exists():
    everywhere = {option for command in all_commands(MENU) for option in options_of(command)} | OF_OTHERS
    for guide, span in spans():
        words = span.removeprefix("stvr ").split()
        known = options_of(find_command(["stvr", *words])[1]) if words and words[0] in below(MENU) else everywhere
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", span))
        assert named <= known, f"{guide.name}: `{span}`"


def test_every_relative_link_leads_to_a_file():
    for guide in [*GUIDES, ROOT / "CHANGELOG.md"]:
        for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(guide)):
            if not re.match(r"[a-z]+:|#", target):
                assert (guide.parent / target.split("#")[0]).exists(), f"{guide.name}: {target}"


def test_every_path_of_the_repository_exists():
    for guide, span in spans():
        for path in re.findall(r"(?<![\w./-])(?:stvr|tests|scripts|benchmarks|docs)/[\w./-]*", span):
            assert (ROOT / path).exists(), f"{guide.name}: {path}"


def test_every_option_of_a_toml_example_is_taken(tmp_path):
    examples = [block for guide in GUIDES for block in blocks(guide, "toml")]
    assert examples
    for block in examples:
        (tmp_path / "options.toml").write_text(block, encoding="utf-8")
        assert train_options("paper", tmp_path / "options.toml") != train_options("paper")  # which raises for no option


def test_python_examples_are_python():
    for guide in GUIDES:
        for block in blocks(guide, "python"):
            ast.parse(block)


def test_python_names_what_the_face_has_and_no_more():
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `stvr\.(\w+)` \|", text, re.MULTILINE)) == set(stvr.__all__)


def test_the_version_is_said_once():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" not in project["project"]
    assert "version" in project["project"]["dynamic"]
    assert project["tool"]["hatch"]["version"]["path"] == "stvr/version.py"
    places = [*(ROOT / "stvr").rglob("*.py"), *GUIDES, ROOT / "pyproject.toml", ROOT / "mkdocs.yml"]
    said = [path for path in places for line in path.read_text(encoding="utf-8").splitlines()
            if re.search(rf"version.*(?<![\d.]){re.escape(stvr.__version__)}(?![\d.])", line)]  # fmt: skip
    assert said == [ROOT / "stvr" / "version.py"]


def test_the_changelog_has_a_section_for_this_version():
    sections = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert next(name for name in sections if name != "Unreleased") == stvr.__version__


def command_lines(guide: Path) -> Iterator[str]:
    """The lines of shell blocks that call stvr, whatever stands before."""
    for block in blocks(guide, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            if found := re.search(r"(?:^\s*|-m )(stvr .*)", line):
                yield found[1]


def find_command(words: list[str]) -> tuple[str, Any, list[str]]:
    """["stvr", "score", "ava", ...] -> its name, the command, the words that are left for it."""
    command, name, rest = MENU, words[0], words[1:]
    while rest and rest[0] in below(command):
        name, command, rest = rest[0], below(command)[rest[0]], rest[1:]
    return name, command, rest


def below(command: Any) -> dict[str, Any]:
    """The commands of a group by name; of a command that has none, nothing."""
    names = command.list_commands(None) if hasattr(command, "list_commands") else []
    return {name: command.get_command(None, name) for name in names}


def all_commands(command: Any) -> Iterator[Any]:
    yield command
    for inner in below(command).values():
        yield from all_commands(inner)


def options_of(command: Any) -> set[str]:
    """Of a command and of those below it."""
    return {"--help"} | {option for each in all_commands(command) for parameter in each.params
                         for option in (*parameter.opts, *parameter.secondary_opts)}  # fmt: skip


def blocks(guide: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", guide.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def without_blocks(guide: Path) -> str:
    return re.sub(r"^```.*?^```", "", guide.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def spans() -> Iterator[tuple[Path, str]]:
    """What stands between backticks in the text of every page."""
    for guide in GUIDES:
        for span in re.findall(r"`([^`\n]+)`", without_blocks(guide)):
            yield guide, span
