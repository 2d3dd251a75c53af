"""Promises of the readers' menu: another package's reader is one file and one line, and listing readers is light."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stvr.annotations import READERS
from stvr.annotations.kinds import kind_of
from stvr.tasks.pairs.build import read_pairs
from stvr.tasks.pairs.prepare import prepare

MODULE = '''
from pathlib import Path

import pandas as pd
from pydantic import Field

from stvr.annotations.reader import Reader, ReaderOptions
from stvr.annotations.rows import Rows

ACTIONS = {"nod": 1, "wave": 2}


class NotesOptions(ReaderOptions):
    min_seconds: int = Field(0, ge=0, description="Leave out what comes before this second.")
    sizes: dict[str, tuple[int, int]] | None = None


def read(path: Path, options: NotesOptions) -> Rows:
    """Lines `video second action`; the one person fills the left half of the picture."""
    lines = [line.split() for line in path.read_text().splitlines()[1:]]
    rows = [{"line": number, "video": video, "person": "0", "start": int(second), "stop": int(second) + 1,
             "label": ACTIONS[action], "x1": 0.0, "y1": 0.0, "x2": 0.5, "y2": 1.0}
            for number, (video, second, action) in enumerate(lines, start=2) if int(second) >= options.min_seconds]
    return Rows(path.name, pd.DataFrame(rows), {index: name for name, index in ACTIONS.items()})


NOTES = Reader(read, help="Notes of who did what.", options=NotesOptions, argument="notes",
               recognises=lambda path, first_line: first_line == "#notes")
'''
ENTRY_POINT = "[stvr.readers]\nnotes = made_up:NOTES\n"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder on the path with an installed package that brings a reader; and a file that it reads."""
    (tmp_path / "made_up.py").write_text(MODULE)
    (tmp_path / "made_up-1.0.dist-info").mkdir()
    (tmp_path / "made_up-1.0.dist-info/entry_points.txt").write_text(ENTRY_POINT)
    lines = [f"{video} {second} {action}" for video in "abc" for second, action in ((1, "nod"), (4, "wave"))]
    (tmp_path / "notes.json").write_text("#notes\n" + "\n".join(lines) + "\n")  # without it, MultiSports' by its name
    return tmp_path


def run(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """The command line in a new process, which finds the packages in the folder."""
    path = os.pathsep.join([str(folder), *filter(None, sys.path)])
    return subprocess.run([sys.executable, "-m", "stvr", *map(str, words)], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200"})


def test_a_reader_of_another_package_prepares_pairs_from_the_command_line(outside: Path):
    out = outside / "pairs.json"
    ended = run(outside, "prepare", "notes", outside / "notes.json", "--min-seconds", 2, "--out", out)
    assert ended.returncode == 0, ended.stderr
    assert "stvr: nothing is held out" in ended.stderr
    pairs, header = read_pairs(out)
    assert header["labels"] == {"1": "nod", "2": "wave"}
    asked = {(pair.query.span.video, pair.query.span.start, pair.query.span.stop, pair.label) for pair in pairs}
    assert asked == {(video, 12, 15, "2") for video in "abc"}  # second 4 is clips 12 to 14; second 1 is left out


def test_a_reader_of_another_package_is_shown_and_takes_its_own_options_alone(outside: Path):
    menu = run(outside, "prepare", "--help")
    assert menu.returncode == 0, menu.stderr
    assert "Notes of who did what." in menu.stdout
    shown = run(outside, "prepare", "notes", "--help").stdout
    assert "--min-seconds" in shown
    assert "x>=0" in shown
    assert not any(option in shown for option in ("--sizes", "--train ", "--labels", "--fps"))
    refused = run(outside, "prepare", "notes", outside / "notes.json", "--out", "x", "--labels", "y")
    assert refused.returncode == 2
    assert "No such option" in refused.stderr


def test_check_recognises_the_file_of_another_packages_reader(outside: Path):
    ended = run(outside, "prepare", "check", outside / "notes.json", "--json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["seen"] == {"rows": 6, "boxes": 6, "videos": 3, "tubelets": 6, "pairs": 6}
    ended = run(outside, "prepare", "check", outside / "notes.json", "--kind", "notes")
    assert ended.stdout.startswith("no fault found")


def test_a_reader_that_cannot_be_imported_stops_no_other(outside: Path):
    (outside / "made_up.py").write_text("import nowhere_to_be_found")
    assert run(outside, "prepare", "ava", "--help").returncode == 0
    ended = run(outside, "prepare", "notes", outside / "notes.json", "--out", outside / "pairs.json")
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "the reader 'notes' comes from made_up:NOTES, which cannot be imported" in ended.stderr


@pytest.mark.parametrize("words", [["--help"], ["prepare", "--help"], ["prepare", "ava", "--help"]])
def test_help_loads_nothing_heavy(words: list[str]):
    program = ("import sys\nfrom stvr.cli import main\nsys.argv = ['stvr', *sys.argv[1:]]\ntry:\n    main()\nfinally:\n"
               "    print(sorted({'torch', 'pandas', 'scipy'} & set(sys.modules)), file=sys.stderr)\n")
    ended = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True)
    assert ended.returncode == 0
    assert ended.stderr == "[]\n"


def test_a_source_takes_no_option_that_it_cannot_use(tmp_path: Path):
    with pytest.raises(ValueError, match=r"no option 'attribute'\. The options are: labels, excluded, offset_seco"):
        prepare("ava", [tmp_path / "a.csv"], tmp_path / "pairs.json", {"attribute": "action"})
    with pytest.raises(LookupError, match=r"there is no reader 'coco'\. Choose one of ava, ucf101-24, table, "):
        prepare("coco", [tmp_path / "a.csv"], tmp_path / "pairs.json")


def test_a_misspelt_source_is_told_what_was_meant(stvr):
    ended = stvr("prepare", "multisport")
    assert ended.status == 2
    assert "No such command 'multisport'. Did you mean 'multisports'?" in ended.err


def test_every_file_is_of_some_source_and_ava_takes_the_rest(tmp_path: Path):
    (tmp_path / "a.txt").write_text("nobody knows this form\n")
    assert kind_of(tmp_path / "a.txt") == next(iter(READERS)) == "ava"
