"""The warp's Triton kernels: interpreted here, held to their promises by interpreted_warp.py."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

INTERPRETED = Path(__file__).with_name("interpreted_warp.py")


class Recorder:
    """Stands for a kernel: notes what decides which variant of it is compiled, and runs nothing."""

    def __init__(self):
        self.seen = set()

    def __getitem__(self, grid):
        return lambda *args, **constants: self.seen.add(
            (tuple(arg if isinstance(arg, int) else arg.dtype for arg in args), tuple(sorted(constants.items())))
        )


@pytest.fixture
def recorded(monkeypatch):
    """Every kernel of a module, recorded."""
    pytest.importorskip("triton", reason="needs triton, which this machine has no build of")

    def record(*names):
        found = {}
        for name in names:
            module = importlib.import_module(f"stvr.kernels.{name}")
            for each in [key for key, value in vars(module).items() if hasattr(value, "fn") and key[0] != "_"]:
                found[each] = Recorder()
                monkeypatch.setattr(module, each, found[each])
        return found

    return record


def test_another_batch_size_compiles_nothing_new(recorded):
    """Of the warp nothing; of the gates, whose strips are long or short, the sizes on either side of one border."""
    warp, gates = recorded("warp.kernel", "warp.spline_kernel"), recorded("lstm_gates.kernel")
    launch, fused = (importlib.import_module(f"stvr.kernels.{name}") for name in ("warp.launch", "lstm_gates.ops"))
    points, fixed = torch.rand(9, 2), launch.constants(20, 20, 2, 4, torch.device("cpu"))
    for batch in (1, 2, 3, 5, 7):
        maps = [torch.zeros(batch, 16, 20, 20) for _ in range(2)]
        moves, flow = torch.zeros(batch, 9, 2), torch.zeros(batch, 20, 20, 2)
        solved = torch.zeros(batch, 9, 2), torch.zeros(batch, 9, 9)
        launch.spline_flow(points, moves, fixed, 20, 20, 2, 4, True)
        launch.spline_flow_backward(flow, points, moves, fixed, *solved, 2, 4, True)
        launch.spline_warp(maps, points, moves, fixed, 2, 4, True)
        launch.warp(maps, flow)
        launch.warp_backward_states(maps, flow)
        launch.warp_backward_flow(maps, maps, flow)
        rows, gates_of = torch.zeros(batch, 400, 256), torch.zeros(batch, 400, 1024)
        affine = [torch.zeros(size) for size in (1024, 1024, 256, 256)]
        fused.fused._init_fn(gates_of, rows, rows, *affine, 1.0, 1e-12)
        fused.fused_backward._init_fn(rows, rows, gates_of, rows, rows,
                                      torch.zeros(batch, 5, 2), *affine, 1.0)  # fmt: skip
    assert {name: len(each.seen) for name, each in warp.items()} == dict.fromkeys(warp, 1)
    forward = {"gate_tiles", "memory_forward", "hidden_forward"}
    assert {name: len(each.seen) for name, each in gates.items()} == {
        name: 1 if name in forward else 2 for name in gates
    }


def test_the_kernels_keep_their_promises_in_tritons_interpreter():
    """In a process of its own: TRITON_INTERPRET is read when the kernels are imported."""
    pytest.importorskip("triton", reason="needs triton, which this machine has no build of")
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "--noconftest", "-q", "-p", "no:cacheprovider", str(INTERPRETED)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
