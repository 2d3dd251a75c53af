"""Cached features of many videos, in a folder or a bucket: the only rooms that know zarr and obstore."""

from stvr.store.arrays import AXES, as_maps, as_stored, steps_apart
from stvr.store.check import Checked, Fault, check, check_all
from stvr.store.claims import Claimed, Complete
from stvr.store.features import FeatureStore
from stvr.store.places import is_store
from stvr.structures import FeatureSpec

__all__ = [
    "AXES", "Checked", "Claimed", "Complete", "Fault", "FeatureSpec", "FeatureStore", "as_maps", "as_stored",
    "check", "check_all", "is_store", "steps_apart",
]  # fmt: skip
