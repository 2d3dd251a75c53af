"""An earlier commit of this repository, at work in a process of its own, in turns with today's."""

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
from typing import Any

REPOSITORY = Path(__file__).parent.parent
EXTRACT = """
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

STEP = """
import json, sys, time
import torch
from stvr.heads import build_head
from stvr.loop import build_optimizer, train_step
from stvr.structures import Batch
from stvr.train import HeadLosses, train_options
path, preset, channels, threads = sys.stdin.readline().split()
torch.set_num_threads(int(threads))
torch.manual_seed(0)
options = train_options(preset, flags={"lr": 1e-6})
head = options.head.model_copy(update={"feature_channels": int(channels), "feature_scale": "none"})
batch = Batch(**torch.load(path, weights_only=True))
trainee = HeadLosses(build_head(head).train())
optimizer = build_optimizer(trainee, options)
for line in sys.stdin:
    cores = time.process_time()
    train_step(trainee, optimizer, batch, options, 0)
    print(json.dumps([time.process_time() - cores]), flush=True)
"""


class Former:
    """A program as it was: it does its work once when it is told to, and is idle else."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None  # both are pipes
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def ask(self, line: str) -> list[Any]:
        """What it prints, as JSON. RuntimeError where it has died."""
        self.tell(line)
        assert self._process.stdout is not None
        if not (answer := self._process.stdout.readline()):
            raise RuntimeError("the former program has died; what it said is above.")
        return list(json.loads(answer))

    def extract(self, videos: Sequence[Path], store: Path, *flags: str) -> tuple[float, float]:
        """Seconds by the clock, and of all cores, of `stvr extract` into a new store; without the start of Python."""
        ended, wall, cores, said = self.ask(json.dumps([[str(path) for path in videos], str(store), flags]))
        if ended:
            raise RuntimeError(f"the former `stvr extract` ended with status {ended}: {said}")
        return wall, cores


@contextmanager
def former(commit: str, folder: Path, work: str = EXTRACT) -> Iterator[Former]:
    """The package of a commit, unpacked into `folder`. It is run by this Python, with the packages installed in it.

    work: EXTRACT, or STEP: a training step of the matching head, of commits up to 64f422e.
    """
    packed = subprocess.run(["git", "archive", commit, "stvr"], cwd=REPOSITORY, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    process = subprocess.Popen([sys.executable, "-c", work], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                               cwd=folder, env=environment)  # fmt: skip
    try:
        yield Former(process)
    finally:
        process.communicate()
