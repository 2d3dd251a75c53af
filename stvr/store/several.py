"""Stores of several endpoints that one run of the backbone fills: one below another's folder each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from stvr.store.features import FeatureStore
from stvr.store.places import is_store
from stvr.store.writer import VideoWriter
from stvr.structures import FeatureSpec

Shapes = Mapping[str, tuple[int, ...]]  # endpoint -> (row, column, time, channel)


class SeveralStores:
    """What an extractor needs of a FeatureStore, for FOLDER/Mixed_4c, FOLDER/Mixed_5c.mean, ... together.

    A video is there when all of them have it. Get one by `open` or `open_or_create`.
    """

    def __init__(self, path: Path | str, stores: Mapping[str, FeatureStore]) -> None:
        self.path, self.stores = path, dict(stores)
        self._first = next(iter(self.stores.values()))
        self.spec, self.clips_per_shard = self._first.spec, self._first.clips_per_shard

    @classmethod
    def open_or_create(
        cls, path: Path | str, specs: Sequence[FeatureSpec], clips_per_shard: int = 64
    ) -> SeveralStores:
        """ValueError where `path` is itself a store, or one below it has another spec."""
        if is_store(path):
            raise ValueError(f"{path} is a store of one endpoint; several need a folder for a store each. "
                             "Give another --store.")
        return cls(path, {spec.endpoint: FeatureStore.open_or_create(f"{path}/{spec.endpoint}", spec, clips_per_shard)
                          for spec in specs})  # fmt: skip

    @classmethod
    def open(cls, path: Path | str, endpoints: Sequence[str]) -> SeveralStores:
        return cls(path, {endpoint: FeatureStore.open(f"{path}/{endpoint}") for endpoint in endpoints})

    def __str__(self) -> str:
        return str(self.path)

    @property
    def lease_seconds(self) -> float:
        return self._first.lease_seconds

    @lease_seconds.setter
    def lease_seconds(self, seconds: float) -> None:
        for store in self.stores.values():
            store.lease_seconds = seconds

    def __contains__(self, video: object) -> bool:
        return all(video in store for store in self.stores.values())

    def num_clips(self, video: str) -> int:
        return self._first.num_clips(video)

    def info(self, video: str) -> dict[str, Any]:
        return self._first.info(video)

    def quarantine(self, video: str, reason: str, digest: str) -> None:
        for store in self.stores.values():
            store.quarantine(video, reason, digest)

    def release(self, video: str) -> None:
        for store in self.stores.values():
            store.release(video)

    def quarantined(self, video: str) -> dict[str, str] | None:
        return self._first.quarantined(video)

    def check_free(self, video: str) -> None:
        for store in self.stores.values():
            store.check_free(video)

    @contextmanager
    def write(
        self, video: str, num_clips: int, map_shapes: Shapes, info: Mapping[str, Any] | None = None
    ) -> Iterator[SeveralWriters]:
        """As `FeatureStore.write`, of the stores that do not have the video yet."""
        with ExitStack() as stack:
            yield SeveralWriters({
                name: stack.enter_context(store.write(video, num_clips, map_shapes[name], info))
                for name, store in self.stores.items() if video not in store
            }, self.clips_per_shard)  # fmt: skip


class SeveralWriters:
    """Takes the clips of every shard that any of the writers misses, in order; each keeps those that it misses."""

    def __init__(self, writers: Mapping[str, VideoWriter], clips_per_shard: int) -> None:
        self._writers, self._clips_per_shard = dict(writers), clips_per_shard
        self._slowest = min(self._writers.values(), key=lambda writer: writer.next_clip)

    @property
    def next_clip(self) -> int:
        return min(writer.next_clip for writer in self._writers.values())

    @property
    def num_clips(self) -> int:
        return self._slowest.num_clips

    @property
    def num_wanted(self) -> int:
        return max(writer.num_wanted for writer in self._writers.values())

    @property
    def missing(self) -> frozenset[int]:
        return frozenset().union(*(writer.missing for writer in self._writers.values()))

    @property
    def noted(self) -> dict[str, Any]:
        """What all of the videos were noted to have."""
        first, *others = (writer.noted for writer in self._writers.values())
        return {name: value for name, value in first.items() if all(name in other for other in others)}

    def append(
        self, features: Mapping[str, Tensor], ticks: NDArray[np.int64], flow: None = None,
        flipped: Mapping[str, Tensor] | None = None,
    ) -> None:  # fmt: skip
        """Clips of one shard."""
        at = self.next_clip
        for name, writer in self._writers.items():
            if writer.num_wanted and writer.next_clip == at:
                writer.append(features[name], ticks, flow, flipped[name] if flipped else None)

    def complete(self, **notes: Any) -> None:
        for writer in self._writers.values():
            writer.complete(**notes)
