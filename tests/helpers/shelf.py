"""Stores of made-up features, as if many videos had been extracted: what stands in every cell is known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stvr.store import FeatureSpec, FeatureStore
from stvr.structures import ClipSpec, MapSpec

WIDTH = 12  # channels
SPEC = FeatureSpec("made", "made", "sha256:00", (MapSpec("cells", 16, 1, WIDTH),), ClipSpec(image_size=128))
SIDE = 8  # cells
Maps = NDArray[np.float16]  # (clips, SIDE, SIDE, WIDTH)


def write_shelf(path: Path, videos: Mapping[str, Maps]) -> FeatureStore:
    """A store of these videos, made if there is none."""
    store = FeatureStore.open_or_create(path, SPEC)
    for name, maps in videos.items():
        count = len(maps)
        info = {"width": 128, "height": 128, "duration_seconds": count / 3, "offset_seconds": 0.0,
                "digest": f"sha256:{name}", "source": f"{name}.mp4"}  # fmt: skip
        with store.write(name, count, (SIDE, SIDE, 1, WIDTH), info) as writer:
            writer.append(maps[:, :, :, None], np.zeros((count, 8), np.int64))
            writer.complete()
    return store


def lively(count: int, seed: int = 0) -> Maps:
    """Nothing stands still: every cell of every clip is drawn by itself."""
    drawn = np.random.default_rng(seed).random((count, SIDE, SIDE, WIDTH))
    return drawn.astype(np.float16)


def shelf_of(count: int, clips: int = 12) -> dict[str, Maps]:
    return {f"video{number:02}": lively(clips, number) for number in range(count)}


def files_below(folder: Path) -> dict[str, bytes]:
    """What is there, without what a killed run may leave behind: claims, and files that were not renamed yet."""
    found = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    return {name: content for name, content in found.items()
            if ".claims" not in name and ".partial" not in name and ".complete" not in name}  # fmt: skip
