"""stvr: where and when does this happen? Asked with an example instead of words."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from stvr.version import __version__ as __version__

if TYPE_CHECKING:
    from stvr.heads.checkpoint import load_head as load_head
    from stvr.jobs.locate import locate as locate
    from stvr.store import FeatureSpec as FeatureSpec
    from stvr.store import FeatureStore as FeatureStore
    from stvr.structures import Batch, ClipSpec, Detections, Pair, Query, Span, Tubelet

_HOMES = {
    "load_head": "stvr.heads.checkpoint",
    "locate": "stvr.jobs.locate",
    "FeatureSpec": "stvr.store",
    "FeatureStore": "stvr.store",
    **dict.fromkeys(("Batch", "ClipSpec", "Detections", "Pair", "Query", "Span", "Tubelet"), "stvr.structures"),
}
__all__ = [
    "Batch", "ClipSpec", "Detections", "FeatureSpec", "FeatureStore", "Pair", "Query", "Span", "Tubelet",
    "load_head", "locate",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Loads a name when it is first asked for, so that `stvr --help` loads no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'stvr' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
