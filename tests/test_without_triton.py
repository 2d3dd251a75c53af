"""macOS and Windows have no triton: everything but the kernels for GPUs works without it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HIDE = "import sys; sys.modules['triton'] = None\n"  # every import of it fails, as where it is not installed

WHOLE_WAY = HIDE + """
from pathlib import Path
import torch
from tiny import tiny_options, write_store, write_tiny_pairs
import stvr
from stvr.jobs.evaluate import evaluate
from stvr.jobs.train import train

place = Path(sys.argv[1])
store, pairs = write_store(place / "store").path, write_tiny_pairs(place / "pairs.json")
options = tiny_options()
assert options.head.propagation["name"] == "warp_lstm"  # both operations that have kernels
train(store, pairs, place / "run", options)
print(evaluate(place / "run", store, pairs)["evaluated"])
session = stvr.Session.open(place / "run", store=store)
answer = session.ask(session.query("a", (0.2, 0.1, 0.6, 0.9), at=3.0), "b")
print("found" if len(answer) else "nothing found")
"""

COMPILED = HIDE + """
import torch
from stvr.kernels import spline_warp

points, moved = torch.rand(6, 2) * 4, torch.rand(2, 6, 2)
image = torch.rand(2, 3, 5, 6)
warp = lambda image: spline_warp([image * 2], points, moved)[0] + 1
torch.testing.assert_close(torch.compile(warp)(image), warp(image))
"""

EVERY_MODULE = HIDE + """
import importlib, pkgutil, runpy
import stvr
for module in pkgutil.walk_packages(stvr.__path__, "stvr."):
    if not module.name.endswith((".kernel", "_kernel", ".launch", "lstm_gates.ops", ".__main__")):
        importlib.import_module(module.name)
runs = runpy.run_path(sys.argv[1])
sys.argv = sys.argv[1:]
runs["main"]()
"""


def run(program: str, *words: object) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "helpers")])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program, *map(str, words)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_head_trains_is_evaluated_and_answers(tmp_path):
    done = run(WHOLE_WAY, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[-3:] == ["5 of 5 pairs", "found", ""]


def test_what_torch_compiles_for_the_processor_needs_none():
    done = run(COMPILED)
    assert done.returncode == 0, done.stderr


def test_only_the_kernels_and_what_launches_them_import_it():
    done = run(EVERY_MODULE, ROOT / "scripts" / "compile_kernels.py")
    assert done.returncode == 0, done.stderr
    assert "No kernel was compiled: triton is not installed" in done.stdout  # the last check of `make test`
