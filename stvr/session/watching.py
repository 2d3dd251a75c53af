"""What several queries find in one source, clip by clip: its features are computed and looked at once for all."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stvr.session.session import CLIPS_AT_ONCE, Session
from stvr.session.sources import Source
from stvr.structures import Detections, Features, Query, Span, Tubelet


@dataclass(frozen=True, slots=True)
class Delay:
    """By how many clips what is told of a clip comes after it: held back by the head, and by the context of a video."""

    head: int
    context: int

    @property
    def clips(self) -> int:
        return self.head + self.context


def delay_of(session: Session) -> Delay:
    """Of a live source. One clip of the context is what says that the ones before were not the last."""
    context = 0
    if session.spec.clip.context == "video":
        context = session.eyes().live_way().grid.after + 1  # type: ignore[attr-defined]
    return Delay(session.head.reach, context)


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What one query finds in one clip. alike (N, 1 + M): how much each box is like the query, and like M others."""

    detections: Detections
    alike: NDArray[np.float64] | None


class Watching:
    """One source, asked with named queries. others: what each found box is held against besides the query.

    appearances: whether the latest features are kept, so that `appearance` can be asked.
    """

    def __init__(
        self, session: Session, queries: Mapping[str, Query], others: Sequence[Query] = (), appearances: bool = False
    ) -> None:
        self.session, self.queries, self.others = session, queries, others
        kept = session.head.reach + 2 * CLIPS_AT_ONCE if appearances else 0
        self._recent: deque[tuple[int, Features]] = deque(maxlen=kept)

    def clips(self, source: Source) -> Iterator[tuple[int, dict[str, Found]]]:
        """The number of each clip, and what every query finds in it."""
        number = source.span.start
        for look in self.session.fresh_looks(self._remembered(source)):
            if not len(look):
                continue
            found = {name: self._asked(look, query) for name, query in self.queries.items()}
            for place in range(len(look)):
                yield number, {name: each[place] for name, each in found.items()}
                number += 1

    def appearance(self, video: str, clip: int, box: Tensor) -> Query | None:
        """What is in a box (4,) of a clip that was given lately, as a query; None where it is too long ago."""
        for number, features in self._recent:
            if number == clip:
                return self.session.pooled(Tubelet(Span(video, clip, clip + 1), box[None].float()), features)
        return None

    def _remembered(self, source: Source) -> Source:
        return source if self._recent.maxlen == 0 else _Remembered(source, self._recent)

    @torch.inference_mode()
    def _asked(self, look: object, query: Query) -> list[Found]:
        found = self.session.asked(look, query)
        if not self.others:
            return [Found(each, None) for each in found]
        boxes = [each.boxes for each in found]
        columns = [self._scores(look, each, boxes) for each in (query, *self.others)]
        return [Found(each, np.stack([column[place] for column in columns], 1)) for place, each in enumerate(found)]

    def _scores(self, look: object, query: Query, boxes: Sequence[Tensor]) -> list[NDArray[np.float64]]:
        scores = self.session.head.score_boxes(look, query, boxes)
        if scores is None:
            raise ValueError(f"the head {self.session.loaded.options.name!r} cannot say which of two queries a box is "
                             "like. Leave --never and --never-like out, or ask another head.")
        return [each.cpu().double().numpy() for each in scores]


@dataclass(frozen=True, slots=True, eq=False)
class _Remembered:
    """The same source; its latest clips' features are kept beside."""

    source: Source
    recent: deque[tuple[int, Features]]

    @property
    def span(self) -> Span:
        return self.source.span

    @property
    def key(self) -> None:
        return None

    def features(self, size: int) -> Iterator[Features]:
        number = self.source.span.start
        for features in self.source.features(size):
            for place in range(len(features)):
                self.recent.append((number, features.part(slice(place, place + 1))))
                number += 1
            yield features
