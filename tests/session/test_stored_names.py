"""Which video of a store a path or a name means."""

from __future__ import annotations

from pathlib import Path

import pytest
from patterned import video, write

from stvr.session.sources import stored_name
from stvr.structures import Features


@pytest.fixture
def store(tmp_path: Path):
    features: Features = video(3)
    return write(tmp_path / "store", **{"day1/clip": features, "day2/clip": features, "alone": features})


def file_at(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_a_file_is_found_by_its_folders(store, tmp_path):
    for day in ("day1", "day2"):
        assert stored_name(store, file_at(tmp_path / "films" / day / "clip.mp4")) == f"{day}/clip"
    assert stored_name(store, file_at(tmp_path / "films" / "alone.mkv")) == "alone"


def test_a_file_that_may_be_two_of_them_or_none_is_neither(store, tmp_path):
    assert stored_name(store, file_at(tmp_path / "elsewhere" / "clip.mp4")) is None
    assert stored_name(store, file_at(tmp_path / "other.mp4")) is None


def test_a_name_without_a_file_is_the_stores_own(store):
    assert stored_name(store, "day1/clip") == "day1/clip"
    assert stored_name(store, "clip") is None
