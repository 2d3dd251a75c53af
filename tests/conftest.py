"""Fixtures for every room."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from stvr.cli import main

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference values and real videos beside the project; a test that needs it skips without it."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the reference data at {SHARED.name}/ beside the project, which is missing")
    return SHARED


@dataclass(frozen=True, slots=True)
class Result:
    """Of a command: its exit status, and what it printed on standard output and standard error."""

    status: int
    out: str
    err: str


@pytest.fixture
def stvr(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Runs the command line in this process: stvr("info", path)."""

    def run(*words: object) -> Result:
        monkeypatch.setattr("sys.argv", ["stvr", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capfd.readouterr()
        return Result(int(ended.value.code or 0), printed.out, printed.err)

    return run
