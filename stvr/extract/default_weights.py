"""What `stvr extract` takes when nothing is given: weights for I3D, and the arithmetic that a store was begun with."""

from __future__ import annotations

from pathlib import Path

from stvr.backbones.taps import named_cuts
from stvr.backbones.weights.named import ANALYTIC, DEFAULT, kept_at
from stvr.backbones.weights.table import TABLE
from stvr.store import FeatureStore, is_store


def weights_for(store: Path | str, endpoint: str | None) -> str | None:
    """A name that `load_backbone` takes: what the store was begun with, else DEFAULT where it has been fetched.

    endpoint: as for `load_backbone`. None means the analytic weights, with their warning.
    """
    cuts = named_cuts(endpoint) if endpoint else []
    begun = (str(store), *(f"{store}/{cut}" for cut in cuts if len(cuts) > 1))
    for noted in (FeatureStore.open(place).spec.weights for place in begun if is_store(place)):
        if noted in (ANALYTIC, *TABLE):
            return None if noted == ANALYTIC else noted
    return DEFAULT if kept_at(DEFAULT).is_file() else None


def runtime_for(store: FeatureStore | Path | str | None, context: str) -> str:
    """A runtime that `load_backbone` takes: torch where only it will do, or where the store was begun in its float32.

    Features whose last bits differ would not be mixed: without this, a store that an earlier release began in float32
    could not be gone on with.
    """
    if context == "video":
        return "torch"
    if isinstance(store, (Path, str)):
        store = FeatureStore.open(store) if is_store(store) else None
    noted = {store.info(video).get("precision") for video in store.videos()[:1]} if store else set()
    return "torch" if noted == {"float32"} else "auto"
