"""Weights that can be fetched by name: the whole menu, and the way to each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stvr.backbones.weights.download import Tell
from stvr.backbones.weights.fetch import fetch
from stvr.backbones.weights.named import kept_at
from stvr.backbones.weights.table import TABLE
from stvr.extract.detector_weights import DETECTORS, detector_kept_at, fetch_detector, published


@dataclass(frozen=True, slots=True)
class Row:
    """name: what to fetch. use: the option that takes it. size: bytes to get. kept: where it is, None if it is not."""

    name: str
    use: str
    size: int
    source: str
    kept: Path | None


def fetch_named(
    name: str, say: Callable[[str], None], tell: Tell | None = None, timeout: float | None = None
) -> tuple[Path, bool]:
    """Fetches the weights `name`; where they are, and whether they were got just now. LookupError lists the menu."""
    if name in TABLE:
        return kept_at(name), fetch(name, say, tell, timeout)
    if name in DETECTORS:
        return detector_kept_at(name), fetch_detector(name, say, tell, timeout)
    raise LookupError(f"there are no weights {name!r} to fetch. Choose one of {', '.join((*TABLE, *DETECTORS))}.")


def rows() -> Iterator[Row]:
    """All that can be fetched."""
    for name, each in TABLE.items():
        yield Row(name, "--weights", each.size, f"{each.package} {each.version}, {each.licences}", there(kept_at(name)))
    for name in DETECTORS:
        yield Row(name, "--boxes", published(name).size, "torchvision", there(detector_kept_at(name)))


def there(path: Path) -> Path | None:
    return path if path.is_file() else None
