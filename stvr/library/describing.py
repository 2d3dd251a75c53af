"""What is in a video, wherever it may be asked for: runs of clips, and what moves in them, each as one vector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from stvr.heads.nearest import REACH, NearestHead, moving
from stvr.heads.standardise import over_steps
from stvr.heads.windows import means_in, step_grid
from stvr.library.described import TUBE, WINDOW, Described
from stvr.library.movers import find_movers, follow_movers
from stvr.store import FeatureStore
from stvr.structures import Detections, Span

LENGTH, STRIDE = 6, 3  # clips of a window, and from one to the next: 2 seconds, every second
BLOCK = 24  # clips that are read together, a multiple of STRIDE
LEAST_LIVE = 0.5  # of the clips of a window: neither still nor blank
LEAST_SPREAD = 0.1  # of the cells inside a picture around their mean, as a share of their size: below, it is blank
WHOLE = (0.0, 0.0, 1.0, 1.0)
QUARTERS = ((2.0, 0.5),)  # scale and overlap: boxes of half a side, every quarter of a side


class Row(NamedTuple):
    """A run of clips, a mean box (4,), a vector (D,)."""

    start: int
    stop: int
    box: Tensor
    kind: int
    vector: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Clips of a video of `count`, from `start` on: those of the windows that begin in the first BLOCK of them.

    raw (T, H, W, D): the map that is matched on. moves, seen (T,) bool: neither still nor blank. movers: what moves in
    each clip, where that is asked for.
    """

    start: int
    count: int
    raw: Tensor
    moves: Tensor
    seen: Tensor
    movers: Sequence[Detections]

    @property
    def own(self) -> int:
        """How many clips are this block's alone; the rest are the next one's first."""
        return min(BLOCK, self.count - self.start)

    @property
    def live(self) -> Tensor:
        return self.moves & self.seen

    def windows(self) -> Iterator[tuple[int, int]]:
        """Counted from the block's first clip. The last window of a video may be shorter."""
        for start in range(0, self.own, STRIDE):
            begin = self.start + start
            if begin == 0 or begin - STRIDE + LENGTH < self.count:  # else the window before has it all
                yield start, min(begin + LENGTH, self.count) - self.start


@dataclass(frozen=True, slots=True, eq=False)
class Describer:
    """Describes videos of a store that has the head's features. regions: see Composition."""

    head: NearestHead
    regions: tuple[str, ...]

    @property
    def width(self) -> int:
        """Numbers of a vector."""
        return len(self.head.where.standard(self.head.match_on).mean)

    @torch.inference_mode()
    def __call__(self, store: FeatureStore, video: str, notes: Mapping[str, Any] | None = None) -> Described:
        """All rows of a video. notes: are kept with them, and so is how many clips are still, and how many blank.

        ValueError for features that are no numbers.
        """
        rows, still, blank = list[Row](), 0, 0
        with one_thread():
            for block in self.blocks(store, video):
                if not block.raw.isfinite().all():
                    raise ValueError(f"{store}: features of {video} are no numbers. Run `stvr verify` on it, and "
                                     "extract the video again.")
                rows += self.rows(block)
                still += int((~block.moves)[: block.own].sum())
                blank += int((block.moves & ~block.seen)[: block.own].sum())
        counted = {"still_clips": still, "blank_clips": blank, "num_rows": len(rows)}
        return as_arrays(rows, self.width, {**(notes or {}), **counted})

    def blocks(self, store: FeatureStore, video: str) -> Iterator[Block]:
        head, count = self.head, store.num_clips(video)
        follows = "tubes" in self.regions
        endpoints = head.endpoints if follows else tuple(dict.fromkeys((head.finest, head.match_on)))
        for start in range(0, count, BLOCK):
            begin, end = max(0, start - REACH), min(count, start + BLOCK + LENGTH + REACH)
            maps = store.read_features(Span(video, begin, end), endpoints).maps
            inner = slice(start - begin, min(count, start + BLOCK + LENGTH) - begin)
            standard = head.where.standardised(maps, head.where.endpoints if follows else (head.finest,))
            raw = over_steps(maps[head.match_on][inner], head.where.standard(head.match_on).steps)
            moves, seen = moving(standard[head.finest])[inner], ~blank(standard[head.finest][inner])
            yield Block(start, count, raw, moves, seen, find_movers(head.where, standard, inner) if follows else [])

    def rows(self, block: Block) -> Iterator[Row]:
        """Of the windows that begin in a block. One in which nothing can be followed is described as a whole."""
        for start, stop in block.windows():
            live = block.live[start:stop]
            if live.sum() < LEAST_LIVE * len(live):
                continue
            begin, maps = block.start + start, block.raw[start:stop]
            tubes = list(self.tubes(begin, maps, live, block.movers[start:stop]))
            boxes = self.fixed_boxes(followed=bool(tubes))
            vectors = means_in(maps[live], self.seen_at(boxes).expand(int(live.sum()), -1, -1)).mean(0)  # (K, D)
            yield from (Row(begin, block.start + stop, box, WINDOW, each)
                        for box, each in zip(boxes, vectors, strict=True))  # fmt: skip
            yield from tubes

    def tubes(self, begin: int, maps: Tensor, live: Tensor, movers: Sequence[Detections]) -> Iterator[Row]:
        """Of a window that begins at clip `begin`: maps (T, H, W, D), live (T,)."""
        for span, boxes in follow_movers(movers):
            kept = live[span.start : span.stop]
            if kept.any():
                inside = means_in(maps[span.start : span.stop], self.seen_at(boxes)[:, None])[:, 0]  # (T, D)
                yield Row(begin + span.start, begin + span.stop, boxes.mean(0), TUBE, inside[kept].mean(0))

    def seen_at(self, boxes: Tensor) -> Tensor:
        """Where cells see these boxes, as for the head's queries."""
        return self.head.where.as_seen(boxes)

    def fixed_boxes(self, followed: bool) -> Tensor:
        """(K, 4): the boxes that a window is pooled in, where something is `followed` in it, or nothing."""
        whole = not followed or bool({"windows", "grid"} & {*self.regions})
        boxes = [torch.tensor([WHOLE] * whole).reshape(-1, 4)]
        if "grid" in self.regions:
            boxes += [lattice.boxes() for lattice in step_grid(QUARTERS)]
        return torch.cat(boxes)


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums do not depend then on how many cores there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def blank(maps: Tensor) -> Tensor:
    """Standardised maps (T, H, W, C) -> (T,) bool: inside the picture, one cell is like another.

    The border does not count: there the network sees the padding.
    """
    rows, columns = maps.shape[1] // 4, maps.shape[2] // 4
    inside = maps[:, rows : maps.shape[1] - rows, columns : maps.shape[2] - columns].flatten(1, 2)  # (T, cells, C)
    spread = (inside - inside.mean(1, keepdim=True)).norm(dim=-1).mean(1)
    return spread < LEAST_SPREAD * inside.norm(dim=-1).mean(1)


def as_arrays(rows: Sequence[Row], width: int, notes: Mapping[str, Any]) -> Described:
    vectors = torch.stack([row.vector for row in rows]) if rows else torch.empty(0, width)
    boxes = torch.stack([row.box for row in rows]) if rows else torch.empty(0, 4)
    return Described(
        np.array([row.start for row in rows], np.int32), np.array([row.stop for row in rows], np.int32),
        boxes.float().numpy(), np.array([row.kind for row in rows], np.uint8), vectors.half().numpy(), notes,
    )  # fmt: skip
