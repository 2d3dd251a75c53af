"""Features of a stretch of video as a classifier reads them: single time steps, a few of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from stvr.store import FeatureStore
from stvr.store.region_boxes import boxes_if_any
from stvr.structures import FeatureSpec, Span, equally_many
from stvr.tubelets.geometry import mirrored

KEPT_BYTES = 1 << 29  # of means over the picture, which are read over and over in training


def time_steps(maps: Tensor, steps: int) -> Tensor:
    """Maps (T, H, W, steps x C) of clips -> (T x steps, H, W, C): every time step by itself, in order."""
    clips, rows, columns, _ = maps.shape
    return maps.view(clips, rows, columns, steps, -1).movedim(3, 1).flatten(0, 1)


def num_steps(spec: FeatureSpec, clips: int) -> int:
    """Time steps of so many clips. ValueError where the maps of a spec do not agree on it."""
    each = {one.steps for one in spec.maps}
    if len(each) > 1:
        raise ValueError(f"the maps of {spec.endpoint} do not have equally many time steps. Name one of them.")
    return clips * each.pop()


def together(boxes: Sequence[Tensor | None]) -> Tensor | None:
    """(S, K, 4) of each stretch -> (B, S, K, 4), padded with zeros; None where any has none."""
    there = [each for each in boxes if each is not None]
    return torch.stack(equally_many(there)) if len(there) == len(boxes) else None


class Steps:
    """Reads time steps of stretches of a store. cells: whole maps, or else their means, kept while there is room."""

    def __init__(self, store: FeatureStore, cells: bool, kept_bytes: int = KEPT_BYTES) -> None:
        self.store, self.cells, self.room = store, cells, kept_bytes
        self._kept: dict[tuple[Span, bool], Mapping[str, Tensor]] = {}

    def count(self, span: Span) -> int:
        return num_steps(self.store.spec, len(span))

    def read(self, span: Span, chosen: Sequence[int], flipped: bool = False) -> dict[str, Tensor]:
        """Time steps of a span by number: (S, H, W, C) by endpoint; of means H and W are 1."""
        if not self.cells:
            return {name: means[list(chosen)] for name, means in self._means(span, flipped).items()}
        steps = num_steps(self.store.spec, 1)
        clips = sorted({step // steps for step in chosen})
        place = {clip: number for number, clip in enumerate(clips)}
        order = [place[step // steps] * steps + step % steps for step in chosen]
        parts = [self._maps(Span(span.video, span.start + clip, span.start + clip + 1), flipped) for clip in clips]
        return {name: torch.cat([part[name] for part in parts])[order] for name in parts[0]}

    def boxes(self, span: Span, chosen: Sequence[int], flipped: bool = False) -> Tensor | None:
        """A detector's at each of these steps, (S, K, 4), those of its clip; None where there are none."""
        boxes = boxes_if_any(self.store, span)
        if boxes is None:
            return None
        steps = num_steps(self.store.spec, 1)
        boxes = boxes[[step // steps for step in chosen]]
        return mirrored(boxes) * boxes.any(-1, keepdim=True) if flipped else boxes  # padding stays zeros

    def _maps(self, span: Span, flipped: bool) -> dict[str, Tensor]:
        maps = self.store.read_features(span, flipped=flipped).maps
        return {each.endpoint: time_steps(maps[each.endpoint], each.steps) for each in self.store.spec.maps}

    def _means(self, span: Span, flipped: bool) -> Mapping[str, Tensor]:
        kept = self._kept.get((span, flipped))
        if kept is not None:
            return kept
        means = {name: maps.mean((1, 2), keepdim=True) for name, maps in self._maps(span, flipped).items()}
        size = sum(each.nbytes for each in means.values())
        if size <= self.room:
            self.room -= size
            self._kept[span, flipped] = means
        return means
