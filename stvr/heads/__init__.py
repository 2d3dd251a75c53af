"""Heads: features to answers. The menu is HEADS."""

from __future__ import annotations

from stvr.heads.head import ClassOptions, Head, HeadEntry, HeadOptions, Localizer, Reads
from stvr.menus import Menu
from stvr.store import FeatureSpec

__all__ = ["HEADS", "ClassOptions", "Head", "HeadEntry", "HeadOptions", "Localizer", "Reads", "build_head"]

HEADS: Menu[HeadEntry] = Menu("head", "stvr.heads", {
    "matching": "stvr.heads.assembly:MATCHING",
    "nearest": "stvr.heads.nearest:NEAREST",
    "progressive": "stvr.heads.progressive_assembly:PROGRESSIVE",
    "region_graph": "stvr.heads.region_graph:REGION_GRAPH",
    "classifier": "stvr.heads.classifier:CLASSIFIER",
    "region_graph_classifier": "stvr.heads.region_graph_classifier:REGION_GRAPH_CLASSIFIER",
})  # fmt: skip


def build_head(options: HeadOptions, spec: FeatureSpec) -> Head:
    """The head that `options` describe, for features of `spec`. LookupError lists the menu."""
    return HEADS[options.name].build(options, spec)
