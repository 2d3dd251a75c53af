"""What bench_feed.py measures against: release 0.1.0's way, every map float32 and through zarr, padded by copying."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch
import zarr
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from stvr.store import FeatureStore
from stvr.structures import Batch, Span
from stvr.tasks.pairs.dataset import collate, read_item
from stvr.tasks.pairs.draws import Draws


def read_batch(store: FeatureStore, draws: Draws, step: int) -> Batch:
    drawn = draws[step]
    references = [read_maps(store, draw.pair.reference) for draw in drawn]
    queries = [read_maps(store, draw.pair.query.span) for draw in drawn]
    rest = collate([read_item(store, draw.pair, maps=False) for draw in drawn])
    name = store.spec.endpoint
    return replace(rest, references={name: pad(references)}, queries={name: pad(queries)},
                   seeds=torch.tensor([draw.seed for draw in drawn]))  # fmt: skip


def read_maps(store: FeatureStore, span: Span) -> Tensor:
    """(T, H, W, C) float32."""
    array = store.group(span.video)["features"]
    assert isinstance(array, zarr.Array)
    return torch.from_numpy(np.asarray(array[span.start : span.stop])).flatten(-2).float()


def pad(maps: list[Tensor]) -> Tensor:
    return F.pad(pad_sequence(maps, batch_first=True), (0, 0) * 4)


def prefetch(read: Callable[[int], Batch], steps: int) -> Iterator[Batch]:
    """The next one is read by a thread while one is used."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(read, 0)
        for step in range(steps):
            batch = waiting.result()
            if step + 1 < steps:
                waiting = pool.submit(read, step + 1)
            yield batch
