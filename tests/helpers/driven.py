"""`extract` in a process of its own, with workers that can be found and killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

DRIVER = """
import sys
from pathlib import Path
from clock import Reader, run, quiet
import torch
from stvr.extract import workers
if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[5] == "True":
        workers.is_shared = lambda backbone: True
    folder, log, number = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    videos, reader = sorted(folder.glob("*.mp4")), Reader(log, seconds=0.02)
    report = run(videos, sys.argv[4], reader, workers=number, report=quiet, lease_seconds=1.0)
    print(len(report.done), len(report.skipped), len(report.failed))
"""


def start(
    folder: Path, log: Path, store: Path | str, workers: int = 4, shared: bool = False
) -> subprocess.Popen[str]:
    """`extract` of all videos of a folder, in a process of its own. shared: one process runs the backbone for all."""
    driver = folder / "driver.py"
    driver.write_text(DRIVER)
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, str(driver), str(folder), str(log), str(workers), str(store), str(shared)],
        text=True,
        env={**os.environ, "PYTHONPATH": paths}, stdout=subprocess.PIPE, start_new_session=True,
        preexec_fn=hear_ctrl_c,
    )  # fmt: skip


def hear_ctrl_c() -> None:
    """Undoes what a shell does to a job in the background: it and its children ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """The worker processes: those in the session of `process` that are neither itself nor a child of it."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(ProcessLookupError, FileNotFoundError):  # it has just ended
            if os.getsid(int(entry.name)) != process.pid:
                continue
            words = (entry / "stat").read_text().rpartition(")")[2].split()
            parent = int(words[1])
            if words[0] != "Z" and parent not in (process.pid, 1, os.getpid()) and int(entry.name) != process.pid:
                found.append(int(entry.name))
    return found


def without_leftovers(files: dict[str, bytes]) -> dict[str, bytes]:
    """Without files that a killed writer had not renamed yet, and without marks, which may be missing."""
    return {name: content for name, content in files.items()
            if not name.endswith(".partial") and not name.startswith((".claims", ".complete"))}  # fmt: skip
