"""The nouns that rooms hand to one another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from stvr.specs import ClipSpec, FeatureSpec, MapSpec, Span

__all__ = [
    "LABEL_DIFFERENT", "LABEL_NONE", "LABEL_SAME", "Batch", "ClipSpec", "Detections", "FeatureSpec", "Features",
    "LabelBatch", "MapSpec", "Pair", "PeopleBatch", "Query", "Span", "Tubelet", "map_of",
]  # fmt: skip

LABEL_NONE, LABEL_DIFFERENT, LABEL_SAME = 0, 1, 2  # the detector's three classes (Feng et al. 2019, their program)


@dataclass(frozen=True, slots=True, eq=False)
class Tubelet:
    """One box per clip over a span: a query and an answer are both this. boxes (T, 4) float32 xyxy in [0, 1]."""

    span: Span
    boxes: Tensor
    score: float = 1.0

    def __post_init__(self) -> None:
        if tuple(self.boxes.shape) != (len(self.span), 4):
            raise ValueError(f"a tubelet over {len(self.span)} clips needs boxes ({len(self.span)}, 4), "
                             f"not {tuple(self.boxes.shape)}.")

    def within(self, span: Span) -> Tubelet | None:
        """The part of the tubelet that lies in `span`, or None."""
        shared = self.span.overlap(span)
        if shared is None:
            return None
        return Tubelet(shared, self.boxes[shared.start - self.span.start : shared.stop - self.span.start], self.score)


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """What a head reads of clips of one video: feature maps (T, H, W, C) by endpoint, time steps side by side.

    flow (T, H, W, 2): where each cell of a clip comes from in the clip before, (y, x) in cells; None without.
    boxes (T, G, 4): a detector's, xyxy in [0, 1], best first, padded with zeros; None without.
    """

    maps: Mapping[str, Tensor]
    flow: Tensor | None = None
    boxes: Tensor | None = None

    def __len__(self) -> int:
        return len(self.first)

    @property
    def first(self) -> Tensor:
        """The map of the endpoint named first."""
        return next(iter(self.maps.values()))

    @property
    def only(self) -> Tensor:
        """The map of the one endpoint there is. ValueError where there are several."""
        return map_of(self.maps)

    def to(self, device: torch.device | str) -> Features:
        return self.each(lambda tensor: tensor.to(device))

    def each(self, change: Callable[[Tensor], Tensor]) -> Features:
        """The same with every tensor changed."""
        flow, boxes = (None if each is None else change(each) for each in (self.flow, self.boxes))
        return Features({name: change(maps) for name, maps in self.maps.items()}, flow, boxes)

    def part(self, clips: slice) -> Features:
        return self.each(lambda tensor: tensor[clips])

    def followed_by(self, other: Features) -> Features:
        """These clips and then those, of the same kind; boxes padded to the most of either."""
        flow = None if self.flow is None or other.flow is None else torch.cat([self.flow, other.flow])
        boxes = (None if self.boxes is None or other.boxes is None
                 else torch.cat(equally_many([self.boxes, other.boxes])))
        return Features({name: torch.cat([maps, other.maps[name]]) for name, maps in self.maps.items()}, flow, boxes)


def equally_many(boxes: Sequence[Tensor]) -> list[Tensor]:
    """(T, K, 4) each -> the same with the largest K, padded with zeros."""
    most = max((each.shape[1] for each in boxes), default=0)
    return [F.pad(each, (0, 0, 0, most - each.shape[1])) for each in boxes]


def map_of(maps: Mapping[str, Tensor], endpoint: str | None = None) -> Tensor:
    """The map of an endpoint; None: of the only one there is. ValueError where there are others."""
    name = next(iter(maps)) if endpoint is None and len(maps) == 1 else endpoint
    if name is None or name not in maps:
        raise ValueError(f"wanted features of {endpoint or 'one endpoint'}, got {', '.join(maps)}.")
    return maps[name]


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """One or several examples and their regions, as a head pooled them: asked of many references.

    regions: a tensor (Q, ...), or several by name for a head that pools more than one. negatives: examples of what is
    not meant, each a query of its own.
    """

    tubelets: tuple[Tubelet, ...]
    regions: Any
    negatives: tuple[Query, ...] = ()

    def minus(self, *negatives: Query) -> Query:
        """The same, but not what these examples show. ValueError for one that has negatives of its own."""
        if any(each.negatives for each in negatives):
            raise ValueError("an example of what is not meant has examples of its own that are not meant. Give queries "
                             "without.")
        return replace(self, negatives=(*self.negatives, *negatives))


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A query, the span of the reference to search, and what lies in it.

    targets: tubelets of the query's label; others: tubelets of any other label; split: train, val or test.
    other_labels: what each of `others` shows; empty where that is not known.
    """

    query: Tubelet
    reference: Span
    targets: tuple[Tubelet, ...]
    label: str
    others: tuple[Tubelet, ...] = ()
    split: str = "train"
    other_labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Tensors only. B pairs, T reference clips, Q query clips, G boxes a clip; short items are padded with zeros.

    references: maps (B, T, H, W, C) by endpoint, those that the head reads; reference_mask (B, T) bool: False on
    padding. queries: maps (B, Q, H, W, C) by endpoint; query_boxes (B, Q, 4) xyxy in [0, 1], query_mask (B, Q) bool.
    target_boxes (B, T, G, 4), target_labels (B, T, G) int64: 0 no box here, 1 another action, 2 the query's action.
    asked (B,) int64: what each query shows, as a number; equal numbers are equal labels.
    flow (B, T, H, W, 2): where each cell of a reference clip comes from in the clip before, (y, x) in cells; None
    unless the store has it. boxes (B, T, K, 4): a detector's in each reference clip; None unless the store has them for
    all. seeds (B,) int64: of what is drawn at random for each item; None draws as torch does.
    """

    references: Mapping[str, Tensor]
    reference_mask: Tensor
    queries: Mapping[str, Tensor]
    query_boxes: Tensor
    query_mask: Tensor
    target_boxes: Tensor
    target_labels: Tensor
    asked: Tensor
    flow: Tensor | None = None
    boxes: Tensor | None = None
    seeds: Tensor | None = None

    def to(
        self, device: torch.device | str, dtype: torch.dtype | None = None, *, non_blocking: bool = False
    ) -> Batch:
        """Moves every tensor; `dtype` is for the feature maps alone, which take it on the device."""
        present = {field.name: getattr(self, field.name) for field in fields(self)}
        moved: dict[str, Any] = {
            name: {endpoint: maps.to(device, non_blocking=non_blocking).to(dtype or maps.dtype)
                   for endpoint, maps in value.items()}
            if isinstance(value, Mapping) else value.to(device, non_blocking=non_blocking)
            for name, value in present.items() if value is not None
        }  # fmt: skip
        return Batch(**moved)

    @property
    def reference(self) -> Tensor:
        """The one map of the references, (B, T, H, W, C). ValueError where there are several."""
        return map_of(self.references)

    @property
    def query(self) -> Tensor:
        """The one map of the queries, (B, Q, H, W, C). ValueError where there are several."""
        return map_of(self.queries)


@dataclass(frozen=True, slots=True, eq=False)
class LabelBatch:
    """B stretches of video and the class of each: maps (B, S, H, W, C) of S time steps by endpoint, labels (B,) int64.

    H and W are 1 for a head that reads no places. boxes (B, S, K, 4): a detector's at each step, best first, padded
    with zeros; None for a head that reads none. targets (B, classes) bool: all that is shown, where that may be several
    classes, and labels is the first of them; else None.
    """

    maps: Mapping[str, Tensor]
    labels: Tensor
    boxes: Tensor | None = None
    targets: Tensor | None = None

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> LabelBatch:
        labels, boxes, targets = (each if each is None else each.to(device, non_blocking=non_blocking)
                                  for each in (self.labels, self.boxes, self.targets))
        assert labels is not None
        return LabelBatch({name: maps.to(device, non_blocking=non_blocking) for name, maps in self.maps.items()},
                          labels, boxes, targets)


@dataclass(frozen=True, slots=True, eq=False)
class PeopleBatch:
    """B keyframes with F clips around each, the middle one its own; at most G people there, C classes.

    windows: maps (B, F, H, W, C') by endpoint; at an end of a video the last clip repeats. boxes (B, G, 4) xyxy in
    [0, 1] and classes (B, G, C), 1 where a person does it, zero padded; mask (B, G) bool: False on padding.
    around (B, G, 2 S + 1, 4): the same person's boxes from S seconds before the keyframe to S seconds after;
    around_mask (B, G, 2 S + 1) bool: where they are known. seeds (B,) int64: of what is drawn at random for each; None
    draws as torch does.
    """

    windows: Mapping[str, Tensor]
    boxes: Tensor
    classes: Tensor
    mask: Tensor
    around: Tensor
    around_mask: Tensor
    seeds: Tensor | None = None

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> PeopleBatch:
        boxes, classes, mask, around, around_mask = (
            each.to(device, non_blocking=non_blocking)
            for each in (self.boxes, self.classes, self.mask, self.around, self.around_mask)
        )
        windows = {name: maps.to(device, non_blocking=non_blocking) for name, maps in self.windows.items()}
        return PeopleBatch(windows, boxes, classes, mask, around, around_mask, self.seeds)

    @property
    def window(self) -> Tensor:
        """The one map of the windows, (B, F, H, W, C'). ValueError where there are several."""
        return map_of(self.windows)


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """What was found in one clip: boxes (N, 4) xyxy in [0, 1], scores (N,), labels (N,), best score first."""

    boxes: Tensor
    scores: Tensor
    labels: Tensor
