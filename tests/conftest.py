"""Fixtures for every room."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference values and real videos beside the project; a test that needs it skips without it."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the reference data at {SHARED.name}/ beside the project, which is not here")
    return SHARED
