"""Cached features of many videos, in a folder or a bucket: the only rooms that know zarr and obstore."""

from stvr.store.check import Fault, check
from stvr.store.claims import Claimed
from stvr.store.features import FeatureStore
from stvr.store.spec import AXES, FeatureSpec

__all__ = ["AXES", "Claimed", "Fault", "FeatureSpec", "FeatureStore", "check"]
