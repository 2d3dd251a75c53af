"""Fixtures for every room."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from stvr.cli import main

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference values and real videos beside the project; a test that needs it skips without it."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the reference data at {SHARED.name}/ beside the project, which is not here")
    return SHARED


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Sets torch's number of threads until the end of the test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command left: its exit status and what it said."""

    status: int
    out: str
    err: str


@pytest.fixture
def stvr(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Runs the command line in this process: stvr("info", path)."""

    def run(*words: object) -> Ended:
        monkeypatch.setattr("sys.argv", ["stvr", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        said = capfd.readouterr()
        return Ended(int(left.value.code or 0), said.out, said.err)

    return run
