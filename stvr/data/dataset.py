"""Pairs and cached features become batches of tensors."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from stvr.data.pairs_file import clip_spec, read_pairs
from stvr.store import FeatureStore
from stvr.structures import LABEL_DIFFERENT, LABEL_SAME, Batch, Pair, Span, Tubelet

PRESENT_SHARE = 0.75  # of the windows that are placed so that they touch a target


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """One pair, read: reference (T, H, W, C), query (Q, H, W, C), query_boxes (Q, 4), boxes (T, G, 4), labels (T, G).

    asked: what the query shows, as a number.
    """

    reference: Tensor
    query: Tensor
    query_boxes: Tensor
    boxes: Tensor
    labels: Tensor
    asked: int


def read_pairs_for(path: Path, store: FeatureStore) -> tuple[list[Pair], dict[str, Any]]:
    """As `read_pairs`; ValueError when the file counts other clips than the store holds."""
    pairs, header = read_pairs(path)
    holds = store.spec.clip
    try:
        counts = clip_spec(header, holds.image_size)
    except (KeyError, TypeError):
        raise ValueError(f"{path} does not say how its clips are cut. Write it again with `stvr prepare`.") from None
    if counts != holds:
        raise ValueError(f"{path} counts clips of {counts.frames_per_clip} frames at {counts.fps} a second, the store "
                         f"{store.path} holds clips of {holds.frames_per_clip} at {holds.fps}. Prepare the pairs anew.")
    return pairs, header


def lacking(pairs: Sequence[Pair], store: FeatureStore) -> dict[int, str]:
    """Of the pairs that need clips which the store does not have: their index, and what is not there."""
    videos = {span.video for pair in pairs for span in (pair.query.span, pair.reference)}
    lengths = {video: store.num_clips(video) for video in videos if video in store}
    reasons: dict[int, str] = {}
    for index, pair in enumerate(pairs):
        for span in (pair.query.span, pair.reference):
            if span.video not in lengths:
                reasons[index] = f"{span.video!r} is not in {store.path}"
            elif span.stop > lengths[span.video]:
                reasons[index] = f"{span.video!r} has {lengths[span.video]} clips in {store.path}, not {span.stop}"
    return reasons


def read_maps(store: FeatureStore, span: Span) -> Tensor:
    """Feature maps (T, H, W, time * C) float32: time is folded into the channels, time-major."""
    return store.read(span).flatten(-2).float()


def read_item(store: FeatureStore, pair: Pair) -> Item:
    boxes, labels = truth_of(pair)
    query = pair.query
    asked = zlib.crc32(pair.label.encode())  # the same number for the same label in any file
    maps = read_maps(store, pair.reference)
    return Item(maps, read_maps(store, query.span), query.boxes.float(), boxes, labels, asked)


def truth_of(pair: Pair) -> tuple[Tensor, Tensor]:
    """Every annotated box of the reference, clip by clip: boxes (T, G, 4), labels (T, G) with 0 where there is none."""
    clips: list[list[tuple[Tensor, int]]] = [[] for _ in range(len(pair.reference))]
    for label, tubelets in ((LABEL_SAME, pair.targets), (LABEL_DIFFERENT, pair.others)):
        for tubelet in tubelets:
            inside = tubelet.within(pair.reference)
            if inside is not None:
                for offset, box in enumerate(inside.boxes):
                    clips[inside.span.start - pair.reference.start + offset].append((box, label))
    most = max(1, *(len(clip) for clip in clips))
    boxes, labels = torch.zeros(len(clips), most, 4), torch.zeros(len(clips), most, dtype=torch.long)
    for index, clip in enumerate(clips):
        for slot, (box, label) in enumerate(clip):
            boxes[index, slot], labels[index, slot] = box, label
    return boxes, labels


def collate(items: Sequence[Item]) -> Batch:
    """Pads every item to the longest with zeros, as the program does (mid-grey pictures, no boxes)."""
    most = max(item.boxes.shape[1] for item in items)
    boxes = [torch.nn.functional.pad(item.boxes, (0, 0, 0, most - item.boxes.shape[1])) for item in items]
    labels = [torch.nn.functional.pad(item.labels, (0, most - item.labels.shape[1])) for item in items]
    return Batch(
        reference=pad([item.reference for item in items]),
        reference_mask=pad([torch.ones(len(item.reference), dtype=torch.bool) for item in items]),
        query=pad([item.query for item in items]),
        query_boxes=pad([item.query_boxes for item in items]),
        query_mask=pad([torch.ones(len(item.query), dtype=torch.bool) for item in items]),
        target_boxes=pad(boxes),
        target_labels=pad(labels),
        asked=torch.tensor([item.asked for item in items]),
    )


def pad(tensors: list[Tensor]) -> Tensor:
    return pad_sequence(tensors, batch_first=True)


class TrainingBatches:
    """Batch k of a training run, a function of (seed, k) alone: a resumed run sees what an unbroken one sees.

    window: clips of a training reference. windows: "context" places it anywhere, background and all, as test
    references are; "targets" stays within the targets, as the program's 2 s windows do.
    """

    def __init__(
        self, pairs: Sequence[Pair], store: FeatureStore, *, batch_size: int, window: int,
        windows: str = "context", max_query: int, seed: int,
    ) -> None:  # fmt: skip
        if not pairs:
            raise ValueError("there is no training pair: the pairs file has none with split 'train'.")
        self.pairs, self.store, self.batch_size, self.seed = list(pairs), store, batch_size, seed
        self.window, self.windows, self.max_query = window, windows, max_query

    def __getitem__(self, step: int) -> Batch:
        return collate([read_item(self.store, pair) for pair in self.draw(step)])

    def draw(self, step: int) -> list[Pair]:
        """The pairs of batch `step`, cut to their windows: every pair once an epoch, in an order of its own."""
        first = step * self.batch_size
        return [self.draw_one(first + slot) for slot in range(self.batch_size)]

    def draw_one(self, count: int) -> Pair:
        epoch, position = divmod(count, len(self.pairs))
        pair = self.pairs[shuffled(len(self.pairs), self.seed, epoch)[position]]
        return self.cut(pair, np.random.default_rng([self.seed, epoch, position]))

    def cut(self, pair: Pair, random: np.random.Generator) -> Pair:
        reference = self.cut_reference(pair, random)
        targets = tuple(part for tubelet in pair.targets if (part := tubelet.within(reference)))
        others = tuple(part for tubelet in pair.others if (part := tubelet.within(reference)))
        return Pair(cut_query(pair.query, self.max_query, random), reference, targets, pair.label, others, pair.split)

    def cut_reference(self, pair: Pair, random: np.random.Generator) -> Span:
        whole = pair.reference
        if self.windows == "targets" and pair.targets:
            spans = [tubelet.span for tubelet in pair.targets]
            whole = Span(whole.video, min(s.start for s in spans), max(s.stop for s in spans))
        elif pair.targets and random.random() < PRESENT_SHARE:  # windows that touch one of the targets
            target = pair.targets[random.integers(len(pair.targets))].span
            start = max(whole.start, target.start - self.window + 1)
            whole = Span(whole.video, start, min(whole.stop, target.stop + self.window - 1))
        if len(whole) <= self.window:
            return whole
        start = whole.start + int(random.integers(len(whole) - self.window + 1))
        return Span(whole.video, start, start + self.window)


@lru_cache(maxsize=2)  # a batch may lie across two epochs
def shuffled(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order of an epoch, (count,)."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def cut_query(query: Tubelet, longest: int, random: np.random.Generator) -> Tubelet:
    """The query itself, or a random window of `longest` clips of it."""
    extra = len(query.span) - longest
    if extra <= 0:
        return query
    start = query.span.start + int(random.integers(extra + 1))
    part = query.within(Span(query.span.video, start, start + longest))
    assert part is not None
    return part
