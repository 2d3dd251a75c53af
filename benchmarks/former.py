"""An earlier commit of this repository, extracting in a process of its own, in turns with today's."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
WORK = """
import contextlib, io, json, shutil, sys, time
from stvr.cli import main
for line in sys.stdin:
    videos, store, flags = json.loads(line)
    shutil.rmtree(store, ignore_errors=True)
    sys.argv, ended, said = ["stvr", "extract", *videos, "--store", store, *flags], 0, io.StringIO()
    wall, cores = time.perf_counter(), time.process_time()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main()
        except SystemExit as error:
            ended = error.code
    print(json.dumps([ended, time.perf_counter() - wall, time.process_time() - cores, said.getvalue()]), flush=True)
"""


class Former:
    """`extract` as it was: it runs once when it is told to, and is idle else."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def extract(self, videos: Sequence[Path], store: Path, *flags: str) -> tuple[float, float]:
        """Seconds by the clock, and of all cores, of `stvr extract` into a new store; without the start of Python."""
        assert self._process.stdin is not None  # both are pipes
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([[str(path) for path in videos], str(store), flags]) + "\n")
        self._process.stdin.flush()
        ended, wall, cores, said = json.loads(self._process.stdout.readline())
        if ended:
            raise RuntimeError(f"the former `stvr extract` ended with status {ended}: {said}")
        return wall, cores


@contextmanager
def former(commit: str, folder: Path) -> Iterator[Former]:
    """The package of a commit, unpacked into `folder`. It is run by this Python, with the packages installed in it."""
    packed = subprocess.run(["git", "archive", commit, "stvr"], cwd=REPOSITORY, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    process = subprocess.Popen([sys.executable, "-c", WORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                               cwd=folder, env=environment)  # fmt: skip
    try:
        yield Former(process)
    finally:
        process.communicate()
