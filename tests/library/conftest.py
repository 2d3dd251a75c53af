"""What the library's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from patterned_library import write_patterned_library

from stvr.library import Library


@pytest.fixture(scope="session")
def patterned_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_patterned_library(tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="session")
def library(patterned_index: Path) -> Library:
    return Library.open(patterned_index, device="cpu")
