"""Fixtures for every room, and the settings of every test process."""

import getpass
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from stvr.cli import main

SHARED = Path(__file__).resolve().parents[2] / "shared"


def keep_compiled_code_apart() -> None:
    """Code compiled for AVX-512 crashes a process that is held to AVX2; the default cache does not tell them apart."""
    capability = torch.backends.cpu.get_cpu_capability().replace(" ", "_").lower()
    folder = Path(tempfile.gettempdir()) / f"torchinductor_{getpass.getuser()}_{capability}"
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder))


def take_one_thread() -> None:
    """Side by side with other test processes: a thread each, and one for the processes that tests start."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


keep_compiled_code_apart()
if "PYTEST_XDIST_WORKER" in os.environ:
    take_one_thread()


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
