"""Indexes of made-up rows, without a video or a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from stvr.heads.standardise import Standardise
from stvr.library.composition import Composition
from stvr.library.described import Described, write_described
from stvr.library.described_videos import file_of
from stvr.library.gathering import gather
from stvr.library.index import Index
from stvr.structures import ClipSpec, FeatureSpec, MapSpec


def write_made(
    folder: Path, vectors: Sequence[NDArray[np.floating]], composition: str = "windows,flat",
    usual: tuple[Sequence[float], Sequence[float]] | None = None,
) -> Index:  # fmt: skip
    """vectors: of each video, (rows, D), as a backbone gave them. usual: mean and deviation (D,); none and one else."""
    width = vectors[0].shape[1]
    spec = FeatureSpec("made", "made", "sha256:00", (MapSpec("cells", 16, 1, width),), ClipSpec())
    for number, each in enumerate(vectors):
        count, name = len(each), f"video{number:05}"
        notes = {"name": name, "path": "", "digest": "", "seconds": count, "offset_seconds": 0.0, "width": 1,
                 "height": 1, "num_clips": 3 * count, "num_rows": count, "still_clips": 0, "blank_clips": 0,
                 "doubt": "", "made_by": ""}  # fmt: skip
        start = 3 * np.arange(count, dtype=np.int32)
        box = np.tile(np.array([0, 0, 1, 1], np.float32), (count, 1))
        rows = Described(start, start + 6, box, np.zeros(count, np.uint8), each.astype(np.float16), notes)
        write_described(file_of(folder, name), rows)
    standard = Standardise(spec.map)
    if usual is not None:
        standard.mean, standard.deviation = (torch.tensor(each) for each in usual)
    gather(folder, spec.to_json(), "nowhere.zarr", Composition.of(composition), standard)
    return Index.open(folder)


def clustered(counts: Sequence[int], width: int, clusters: int = 40) -> list[NDArray[np.float32]]:
    """Rows of videos around so many middles, as those of videos are: not all directions are taken."""
    rng = np.random.default_rng(3)
    middles = rng.standard_normal((clusters, width))
    return [(middles[rng.integers(clusters, size=count)] + 0.4 * rng.standard_normal((count, width))).astype(np.float32)
            for count in counts]  # fmt: skip
