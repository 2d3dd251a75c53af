"""What the loop's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import LABELS, pair, tubelet, write_tiny_pairs

from stvr.structures import Pair, Span


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Queries and references of several lengths, so that shares of a batch are padded differently."""
    asked = [pair("a", "b"), pair("b", "a", stop=14), pair("c", "d"), pair("d", "c", stop=12), pair("a", "c")]
    short = Pair(tubelet("b", 6, 7), Span("a", 4, 9), (tubelet("a", 6, 9),), LABELS["b"])
    return write_tiny_pairs(tmp_path_factory.mktemp("pairs") / "pairs.json", [*asked, short])
