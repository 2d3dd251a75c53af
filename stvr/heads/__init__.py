"""Heads: features to answers. The menu is HEADS."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from stvr.heads.head import Head, Localizer
from stvr.menus import Menu
from stvr.structures import FeatureSpec

if TYPE_CHECKING:
    from stvr.heads.entry import ClassOptions, HeadEntry, HeadOptions, PeopleOptions, Reads

__all__ = [
    "HEADS", "ClassOptions", "Head", "HeadEntry", "HeadOptions", "Localizer", "PeopleOptions", "Reads", "build_head",
]  # fmt: skip

HEADS: Menu[HeadEntry] = Menu("head", "stvr.heads", {
    "matching": "stvr.heads.assembly:MATCHING",
    "nearest": "stvr.heads.nearest:NEAREST",
    "progressive": "stvr.heads.progressive_assembly:PROGRESSIVE",
    "region_graph": "stvr.heads.region_graph:REGION_GRAPH",
    "step": "stvr.heads.step_assembly:STEP",
    "classifier": "stvr.heads.classifier:CLASSIFIER",
    "region_graph_classifier": "stvr.heads.region_graph_classifier:REGION_GRAPH_CLASSIFIER",
}, needs=("options", "build", "presets"))  # fmt: skip


def build_head(options: HeadOptions, spec: FeatureSpec) -> Head:
    """The head that `options` describe, for features of `spec`. LookupError lists the menu."""
    return HEADS[options.name].build(options, spec)


def __getattr__(name: str) -> Any:
    """What options are made of comes when it is asked for: it needs pydantic, and a head must run without."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("stvr.heads.entry"), name)
