"""The warp's Triton kernels: interpreted here, held to their promises by interpreted_warp.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

INTERPRETED = Path(__file__).with_name("interpreted_warp.py")


def test_the_kernels_keep_their_promises_in_tritons_interpreter():
    """In a process of its own: TRITON_INTERPRET is read when the kernels are imported."""
    pytest.importorskip("triton", reason="needs triton, which this machine has no build of")
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "--noconftest", "-q", "-p", "no:cacheprovider", str(INTERPRETED)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
