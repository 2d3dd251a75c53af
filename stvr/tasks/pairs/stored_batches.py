"""Batches of pairs as they come from a store: float16 up to the device, of a query what its boxes touch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from stvr.heads.regions import cells_around
from stvr.store import FeatureStore, steps_apart
from stvr.structures import Batch, Span
from stvr.tasks.pairs.dataset import Drawn, Empty, Item, collate, read_item
from stvr.tasks.pairs.draws import Draw


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Some cells of maps (B, Q, H, W, C) = size: values (N, C), and the place of each, (N,) int32. The rest is 0."""

    values: Tensor
    places: Tensor
    size: tuple[int, ...]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Cells:
        return Cells(self.values.to(device, non_blocking=non_blocking),
                     self.places.to(device, non_blocking=non_blocking), self.size)

    def spread(self) -> Tensor:
        """The maps, float32."""
        maps = torch.zeros(self.size, device=self.values.device)
        maps.view(-1, self.size[-1])[self.places.long()] = self.values.float()
        return maps


@dataclass(frozen=True, slots=True, eq=False)
class StoredBatch:
    """A batch on its way to the device: maps float16 as a store keeps them, queries by endpoint whole or in part."""

    batch: Batch
    cells: Mapping[str, Cells]

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """What a head reads: maps float32, widened on the device, which is exact."""
        batch = self.batch.to(device, torch.float32, non_blocking=non_blocking)
        spread = {name: each.to(device, non_blocking).spread() for name, each in self.cells.items()}
        return replace(batch, queries={**batch.queries, **spread})


@dataclass(frozen=True, slots=True, eq=False)
class StoreReader:
    """Reads drawn pairs of a store; maps are decompressed straight into the batch.

    boxes: a detector's are read, too. query_in_box: as a head says in its `Reads`.
    """

    store: FeatureStore
    boxes: bool = False
    query_in_box: bool = False

    def __call__(self, drawn: Drawn, empty: Empty = torch.empty) -> StoredBatch:
        batch = collate([self.without_maps(draw) for draw in drawn.draws], drawn.least)
        references = [View(draw.pair.reference, draw.flip_reference) for draw in drawn.draws]
        queries = [View(draw.pair.query.span, draw.flip_query) for draw in drawn.draws]
        whole = replace(
            batch, seeds=drawn.seeds, references=self.read(references, batch.reference_mask.shape[1], empty),
            queries={} if self.query_in_box else self.read(queries, batch.query_mask.shape[1], empty),
        )  # fmt: skip
        return StoredBatch(whole, self.read_cells(queries, batch.query_boxes, empty) if self.query_in_box else {})

    def without_maps(self, draw: Draw) -> Item:
        """Everything else of a pair."""
        return read_item(self.store, draw.pair, draw.flip_reference, draw.flip_query, boxes=self.boxes, maps=False)

    def read(self, views: Sequence[View], clips: int, empty: Empty) -> dict[str, Tensor]:
        """Maps (B, clips, H, W, C) float16 by endpoint, zeros behind the last of each."""
        found = {}
        for endpoint, size in self.sizes(views).items():
            maps = found[endpoint] = empty((len(views), clips, *size), dtype=torch.float16)
            for own, view in zip(maps, views, strict=True):
                self.read_into(own[: len(view.span)], view, endpoint)
                own[len(view.span) :] = 0
        return found

    def read_cells(self, views: Sequence[View], boxes: Tensor, empty: Empty) -> dict[str, Cells]:
        """Of every clip the cells that its box touches, boxes (B, Q, 4)."""
        found = {}
        for endpoint, size in self.sizes(views).items():
            edges = cells_around(boxes.flatten(0, 1), *size[:2]).unflatten(0, boxes.shape[:2])
            areas = (edges[..., 2:] - edges[..., :2]).prod(-1).tolist()
            total = sum(sum(own[: len(view.span)]) for own, view in zip(areas, views, strict=True))
            values, places = empty((total, size[-1]), dtype=torch.float16), empty((total,), dtype=torch.int32)
            numbers = torch.arange(boxes.shape[0] * boxes.shape[1] * size[0] * size[1], dtype=torch.int32)
            number_of = numbers.view(*boxes.shape[:2], *size[:2])
            whole, done = torch.empty(max(len(view.span) for view in views), *size, dtype=torch.float16), 0
            for item, view in enumerate(views):
                self.read_into(whole[: len(view.span)], view, endpoint)
                for clip, (top, left, bottom, right) in enumerate(edges[item, : len(view.span)].tolist()):
                    inside, behind = (slice(top, bottom), slice(left, right)), done + areas[item][clip]
                    values[done:behind].view(bottom - top, right - left, -1).copy_(whole[clip][inside])
                    places[done:behind].view(bottom - top, right - left).copy_(number_of[item, clip][inside])
                    done = behind
            found[endpoint] = Cells(values, places, (*boxes.shape[:2], *size))
        return found

    def read_into(self, maps: Tensor, view: View, endpoint: str) -> None:
        self.store.read(view.span, view.flipped, endpoint, steps_apart(maps, self.store.spec, endpoint))

    def sizes(self, views: Sequence[View]) -> dict[str, tuple[int, int, int]]:
        """Endpoint -> (H, W, C) of the maps of the first video, which are those of all."""
        shapes = self.store.map_shapes(views[0].span.video)
        return {name: (rows, columns, steps * channels) for name, (rows, columns, steps, channels) in shapes.items()
                if name in self.store.spec.endpoints}


class View(NamedTuple):
    """Clips of one video, as they are or mirrored."""

    span: Span
    flipped: bool
