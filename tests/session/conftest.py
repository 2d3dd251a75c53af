"""What the session's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from stvr.backbones import Backbone
from stvr.extract.job import extract
from stvr.structures import ClipSpec


@pytest.fixture(scope="session")
def store(films: list[Path], backbone: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The features of `films`."""
    place = tmp_path_factory.mktemp("session") / "store"
    extract(films, place, backbone, ClipSpec(image_size=96), report=lambda step: None)
    return place
