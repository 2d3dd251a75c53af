"""A library of made features, where it is known who does what and when."""

from __future__ import annotations

from pathlib import Path

import torch
from patterned import video, write

from stvr.library import build_index
from stvr.structures import Features

BEGIN, END, CLIPS = 70, 80, 100  # clips of `long` in which an actor has pattern 1, and all of its clips


def write_patterned_library(folder: Path) -> Path:
    """In `q`, `same` and `twice` somebody has pattern 1, in `other` and `none` nobody, in `long` for a while."""
    parts = [video(BEGIN, 5, 6, seed=4), video(END - BEGIN, 1, 6, seed=5), video(CLIPS - END, 5, 6, seed=6)]
    long = Features({name: torch.cat([part.maps[name] for part in parts]) for name in parts[0].maps})
    write(folder / "store", q=video(6, 1, 8, seed=9), same=video(12, 3, 1, seed=1), twice=video(10, 1, 4, seed=2),
          other=video(9, 2, 7, seed=3), none=video(9, 7, 5, seed=7), long=long)  # fmt: skip
    build_index([folder / "store"], folder / "index", report=lambda step: None, tell=lambda line: None)
    return folder / "index"
