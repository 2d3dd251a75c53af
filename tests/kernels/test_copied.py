"""The kernels are a folder that a user can copy into another project, under any name."""

import shutil
import subprocess
import sys
from pathlib import Path

import stvr.kernels

PROGRAM = """
import sys
import torch
from borrowed.fast import crop_max, lstm_gates, spline_warp
assert not any(name.split(".")[0] == "stvr" for name in sys.modules), "the copy leans on stvr"
points = torch.tensor([[2.0, 2.0], [2.0, 5.0]])
states = [torch.arange(48.0).reshape(1, 1, 6, 8)]
(still,) = spline_warp(states, points, torch.zeros(1, 2, 2))
torch.testing.assert_close(still, states[0])
cell = torch.zeros(1, 4, 2, 2), torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
hidden, memory = lstm_gates(*cell, *map(torch.ones, (4, 4, 1, 1)))
assert hidden.shape == (1, 1, 2, 2)
assert (crop_max(torch.ones(1, 3, 3, 1), torch.tensor([[0.0, 0.0, 1.0, 1.0]])) == 1).all()
"""


def test_copied_out_under_another_name_they_work(tmp_path):
    copied = tmp_path / "borrowed" / "fast"
    shutil.copytree(Path(stvr.kernels.__file__).parent, copied, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "borrowed" / "__init__.py").touch()
    command = [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{PROGRAM}"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
