"""What the session's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from stvr.backbones import load_backbone
from stvr.extract.job import extract
from stvr.structures import ClipSpec


@pytest.fixture(scope="session")
def store(films: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The features of `films`, as `stvr extract` makes them on this machine."""
    place = tmp_path_factory.mktemp("session") / "store"
    extract(films, place, load_backbone(runtime="auto"), ClipSpec(image_size=96), report=lambda step: None)
    return place
