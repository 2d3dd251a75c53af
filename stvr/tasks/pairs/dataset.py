"""Pairs and cached features become batches of tensors."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from stvr.store import FeatureSpec, FeatureStore
from stvr.store.region_boxes import boxes_if_any
from stvr.structures import LABEL_NONE, Batch, Pair, equally_many, map_of
from stvr.tasks.choosing import share_of
from stvr.tasks.pairs.draws import Draw, Draws
from stvr.tasks.pairs.file import clip_spec, read_pairs
from stvr.tasks.pairs.truth import truth_of
from stvr.tubelets.geometry import mirrored


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """One pair, read: query_boxes (Q, 4), boxes (T, G, 4), labels (T, G).

    references: maps (T, H, W, C) by endpoint; queries: maps (Q, H, W, C). asked: what the query shows, as a number.
    flow (T, H, W, 2), where there is one; detected (T, K, 4): a detector's boxes, where there are some. For
    `stvr finetune`, frames (T, F, S, S, 3) uint8 stand in place of maps.
    """

    references: Mapping[str, Tensor]
    queries: Mapping[str, Tensor]
    query_boxes: Tensor
    boxes: Tensor
    labels: Tensor
    asked: int
    flow: Tensor | None = None
    detected: Tensor | None = None

    @property
    def reference(self) -> Tensor:
        """The one map of the reference. ValueError where there are several."""
        return map_of(self.references)

    @property
    def query(self) -> Tensor:
        """The one map of the query. ValueError where there are several."""
        return map_of(self.queries)


class HasClips(Protocol):
    """Clips of videos: a feature store, or the video files themselves."""

    spec: FeatureSpec
    how_to_add: str  # what a user does to have more of them

    def __contains__(self, video: object, /) -> bool: ...
    def num_clips(self, video: str, /) -> int: ...
    def __str__(self) -> str: ...


def read_pairs_for(path: Path, store: HasClips) -> tuple[list[Pair], dict[str, Any]]:
    """As `read_pairs`; ValueError when the file counts other clips than the store holds."""
    pairs, header = read_pairs(path)
    holds = store.spec.clip
    try:
        counts = clip_spec(header)
    except (KeyError, TypeError):
        raise ValueError(f"{path} does not say how its clips are cut. Write it again with `stvr prepare`.") from None
    if (counts.frames_per_clip, counts.fps) != (holds.frames_per_clip, holds.fps):
        raise ValueError(f"{path} counts clips of {counts.frames_per_clip} frames at {counts.fps} a second, the store "
                         f"{store} holds clips of {holds.frames_per_clip} at {holds.fps}. Prepare the pairs anew.")
    return pairs, header


def lacking(pairs: Sequence[Pair], store: HasClips) -> dict[int, str]:
    """Of the pairs that need clips which the store does not have: their index, and what is not there."""
    videos = {span.video for pair in pairs for span in (pair.query.span, pair.reference)}
    lengths = {video: store.num_clips(video) for video in videos if video in store}
    reasons: dict[int, str] = {}
    for index, pair in enumerate(pairs):
        for span in (pair.query.span, pair.reference):
            if span.video not in lengths:
                reasons[index] = f"{span.video!r} is not in {store}"
            elif span.stop > lengths[span.video]:
                reasons[index] = f"{span.video!r} has {lengths[span.video]} clips in {store}, not {span.stop}"
    return reasons


def read_item(
    store: FeatureStore, pair: Pair, flip_reference: bool = False, flip_query: bool = False, *, boxes: bool = False,
    maps: bool = True,
) -> Item:  # fmt: skip
    """A pair with all maps of a store; a mirrored view has mirrored boxes. boxes: a detector's are read, too.

    maps: without them everything else is read.
    """
    reference, query = pair.reference, pair.query.span
    flow = store.read_flow(reference, flipped=flip_reference).float() if store.spec.flow != "none" else None
    references = store.read_features(reference, flipped=flip_reference).maps if maps else {}
    queries = store.read_features(query, flipped=flip_query).maps if maps else {}
    detected = boxes_if_any(store, reference) if boxes else None
    if detected is not None and flip_reference:
        detected = mirrored(detected) * detected.any(-1, keepdim=True)  # padding stays zeros
    return replace(item_of(pair, references, queries, flow, flip_reference, flip_query), detected=detected)


def item_of(
    pair: Pair, references: Mapping[str, Tensor], queries: Mapping[str, Tensor], flow: Tensor | None,
    flip_reference: bool, flip_query: bool,
) -> Item:  # fmt: skip
    """What was read of a pair (features, or frames), with its boxes as the views show them."""
    boxes, labels = truth_of(pair)
    query_boxes = pair.query.boxes.float()
    if flip_reference:
        boxes = mirrored(boxes) * (labels != LABEL_NONE)[..., None]
    if flip_query:
        query_boxes = mirrored(query_boxes)
    asked = zlib.crc32(pair.label.encode())  # the same number for the same label in any file
    return Item(references, queries, query_boxes, boxes, labels, asked, flow)


def collate(items: Sequence[Item], least: tuple[int, int] = (1, 1)) -> Batch:
    """Pads every item to the longest with zeros, as the program does (mid-grey pictures, no boxes).

    least: clips to which references and queries are padded at least.
    """
    boxes = equally_many([item.boxes for item in items])
    most = boxes[0].shape[1]
    labels = [F.pad(item.labels, (0, most - item.labels.shape[1])) for item in items]
    flows = [item.flow for item in items if item.flow is not None]
    detected = [item.detected for item in items if item.detected is not None]
    of_reference, of_query = least
    return Batch(
        references=pad_maps([item.references for item in items], of_reference),
        reference_mask=pad([torch.ones(len(item.boxes), dtype=torch.bool) for item in items], of_reference),
        queries=pad_maps([item.queries for item in items], of_query),
        query_boxes=pad([item.query_boxes for item in items], of_query),
        query_mask=pad([torch.ones(len(item.query_boxes), dtype=torch.bool) for item in items], of_query),
        target_boxes=pad(boxes, of_reference),
        target_labels=pad(labels, of_reference),
        asked=torch.tensor([item.asked for item in items]),
        flow=pad(flows, of_reference) if len(flows) == len(items) else None,
        boxes=pad(equally_many(detected), of_reference) if len(detected) == len(items) else None,
    )


def pad_maps(maps: Sequence[Mapping[str, Tensor]], least: int) -> dict[str, Tensor]:
    """`pad` of the maps of each endpoint."""
    return {endpoint: pad([each[endpoint] for each in maps], least) for endpoint in maps[0]}


def pad(tensors: list[Tensor], least: int) -> Tensor:
    """(T, ...) each -> (B, T, ...), T the longest of them or `least`."""
    padded = pad_sequence(tensors, batch_first=True)
    return F.pad(padded, (0, 0) * (padded.ndim - 2) + (0, max(0, least - padded.shape[1])))


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """What one process reads of a batch. least: clips to which references and queries are padded at least, so that the
    shares of all processes are together the batch that one process alone would see. seeds (B,) int64.
    """

    draws: Sequence[Draw]
    least: tuple[int, int]
    seeds: Tensor


class Empty(Protocol):
    """`torch.empty`, or what takes its place where a large tensor is wanted in memory of a certain kind."""

    def __call__(self, size: tuple[int, ...], /, *, dtype: torch.dtype) -> Tensor: ...


class TrainingBatches:
    """Batch k of a training run: what `draws` names, as `read` reads it. part: this process, of how many."""

    def __init__(self, draws: Draws, read: Callable[[Drawn, Empty], Any], part: tuple[int, int] = (0, 1)) -> None:
        self.draws, self.read, self.share = draws, read, share_of(draws.batch_size, part)

    def __call__(self, step: int, empty: Empty = torch.empty) -> Any:
        drawn = self.draws[step]
        least = max(len(draw.pair.reference) for draw in drawn), max(len(draw.pair.query.span) for draw in drawn)
        own = drawn[self.share]
        return self.read(Drawn(own, least, torch.tensor([draw.seed for draw in own])), empty)


@dataclass(frozen=True, slots=True, eq=False)
class EachRead:
    """Reads drawn pairs one by one, by `read`."""

    read: Callable[[Draw], Item]

    def __call__(self, drawn: Drawn, empty: Empty = torch.empty) -> Batch:
        return replace(collate([self.read(draw) for draw in drawn.draws], drawn.least), seeds=drawn.seeds)
