"""Figures as JSON holds them: NaN is null, thresholds are names."""

from __future__ import annotations

import math
from collections.abc import Mapping


def finite(value: float) -> float | None:
    """The value; None for NaN and infinity, which JSON does not have."""
    return float(value) if math.isfinite(value) else None


def by_threshold(values: Mapping[float, float]) -> dict[str, float | None]:
    """0.5 -> "0.5", each value as `finite` gives it."""
    return {f"{threshold:g}": finite(value) for threshold, value in values.items()}
