"""Files appear whole or not at all, and a process killed while it writes one leaves nothing that stays."""

import signal
import subprocess
import sys

import pytest

from stvr.files import check_folder

MORTAL = """
import resource
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
"""  # the kernel kills it in the middle of the first file of more than 10,000 bytes
TENSORS = """
import sys
import torch
from pathlib import Path
from stvr.heads.checkpoint import write_tensors
write_tensors(Path(sys.argv[1]), {"a": torch.ones(50_000)}, {})
"""
ROWS = """
import sys
import numpy as np
from pathlib import Path
from stvr.library.described import Described, write_described
span, box = np.zeros(5_000, np.int32), np.zeros((5_000, 4), np.float32)
rows = Described(span, span, box, np.zeros(5_000, np.uint8), np.zeros((5_000, 8), np.float16), {})
write_described(Path(sys.argv[1]), rows)
"""
WEIGHTS = """
import sys
from pathlib import Path
from stvr.backbones.i3d import I3D
from stvr.backbones.weights.load import save_weights
save_weights(I3D("MaxPool3d_2a_3x3", 3), Path(sys.argv[1]))
"""


@pytest.mark.parametrize("program", [TENSORS, ROWS, WEIGHTS], ids=["tensors", "rows", "weights"])
def test_one_killed_while_it_writes_tensors_leaves_what_the_next_one_takes_away(tmp_path, program):
    file = tmp_path / "a.safetensors"
    killed = subprocess.run([sys.executable, "-c", MORTAL + program, str(file)], check=False)
    assert killed.returncode == -signal.SIGXFSZ
    (left,) = tmp_path.iterdir()
    assert left != file
    subprocess.run([sys.executable, "-c", program, str(file)], check=True)
    assert [*tmp_path.iterdir()] == [file]


def test_what_cannot_become_a_folder_is_known_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    check_folder(tmp_path / "new" / "folder")
    assert [*tmp_path.iterdir()] == [tmp_path / "file"]  # nothing is made
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(NotADirectoryError) as raised:
            check_folder(out)
        assert raised.value.filename == str(tmp_path / "file")
