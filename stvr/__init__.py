"""stvr: where and when does this happen? Asked with an example instead of words."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from stvr.version import __version__ as __version__

if TYPE_CHECKING:
    from stvr.heads.checkpoint import load_head as load_head
    from stvr.jobs.locate import locate as locate
    from stvr.library import Hit as Hit
    from stvr.library import Library as Library
    from stvr.session import Answer as Answer
    from stvr.session import Session as Session
    from stvr.store import FeatureStore as FeatureStore
    from stvr.structures import Batch, ClipSpec, Detections, Features, FeatureSpec, MapSpec, Pair, Query, Span, Tubelet

NOUNS = ("Batch", "ClipSpec", "Detections", "FeatureSpec", "Features", "MapSpec", "Pair", "Query", "Span", "Tubelet")
HOMES = {  # no module of ours is called as one of these names: importing it would take the name's place
    "load_head": "stvr.heads.checkpoint",
    "locate": "stvr.jobs.locate",
    "Answer": "stvr.session",
    "Hit": "stvr.library",
    "Library": "stvr.library",
    "Session": "stvr.session",
    "FeatureStore": "stvr.store",
    **dict.fromkeys(NOUNS, "stvr.structures"),
}
__all__ = [
    "Answer", "Batch", "ClipSpec", "Detections", "FeatureSpec", "FeatureStore", "Features", "Hit", "Library", "MapSpec",
    "Pair", "Query", "Session", "Span", "Tubelet", "load_head", "locate",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Loads a name when it is first asked for, so that `stvr --help` loads no torch."""
    if name not in HOMES:
        raise AttributeError(f"module 'stvr' has no attribute {name!r}")
    return getattr(import_module(HOMES[name]), name)
