"""Trained heads that ship, with this package or another: asked for by a name such as "matching.kinetics"."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stvr.menus import Menu


@dataclass(frozen=True, slots=True)
class ShippedHead:
    """One record: the checkpoint's file, its sha256, what features it reads (as its FeatureSpec says), what it scored.

    figures: measured ones alone, each named with its data set and metric.
    """

    file: Path
    sha256: str
    spec: Mapping[str, Any]
    figures: Mapping[str, float]

    def checked_file(self) -> Path:
        """The file. ValueError where it is not the one of this record."""
        if not self.file.is_file():
            raise FileNotFoundError(f"{self.file} is missing. Install the package that brings it again.")
        digest = hashlib.sha256(self.file.read_bytes()).hexdigest()
        if digest != self.sha256:
            raise ValueError(f"{self.file} has the sha256 {digest}, not {self.sha256}: it was changed or cut short. "
                             "Install the package that brings it again.")
        return self.file


SHIPPED: Menu[ShippedHead] = Menu("head that ships", "stvr.shipped", {})
