"""What the last bits of a video's features depend on, besides precision and weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def arithmetic(notes: Mapping[str, Any]) -> str:
    """From a video's notes: "torch 2.14.1 on the processor x86_64 AVX2". Older stores do not note the processor."""
    torch, processor = notes.get("versions", {}).get("torch", "(not noted)"), notes.get("processor", "(not noted)")
    return f"torch {torch} on the processor {processor}"


def other_arithmetics(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What else computed shards of a video: its notes were `before`, and those of the run that continues are `now`."""
    if not before:
        return []
    return sorted({*before.get("also_computed_by", ()), arithmetic(before)} - {arithmetic(now)})
