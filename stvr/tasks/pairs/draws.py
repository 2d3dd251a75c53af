"""Which pairs a training batch holds, and how each is cut: decided by the seed and the batch's number alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stvr.structures import Pair, Span, Tubelet

PRESENT_SHARE = 0.75  # of the windows that are placed so that they touch a target
BATCHES_SORTED = 16  # at a time by length, when batches are made of similar lengths


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """One training item before it is read: a pair cut to its windows, which views are mirrored, a seed for the rest."""

    pair: Pair
    flip_reference: bool
    flip_query: bool
    seed: int


class Draws:
    """The items of batch k, decided by (seed, k): a resumed run sees what an uninterrupted run sees.

    window: clips of a training reference. windows: "context" places it anywhere, background included, as in test
    references; "targets" keeps it within the targets, like the program's 2 s windows. max_query: clips of a query.
    flip: half of the references and half of the queries are mirrored, each independently (as the program does).
    batching: "mixed" takes items in random order; "by_length" puts queries of similar length together (as the program
    does).
    """

    def __init__(
        self, pairs: Sequence[Pair], *, batch_size: int, window: int, windows: str = "context", max_query: int,
        seed: int, flip: bool = False, batching: str = "mixed",
    ) -> None:  # fmt: skip
        if not pairs:
            raise ValueError("there is no training pair: the pairs file has none with split 'train'.")
        self.pairs, self.batch_size, self.seed = list(pairs), batch_size, seed
        self.window, self.windows, self.max_query = window, windows, max_query
        self.flip, self.batching = flip, batching
        self._order = lru_cache(maxsize=2)(self._make_order)  # a batch may lie across two epochs

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_order"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._order = lru_cache(maxsize=2)(self._make_order)

    def __getitem__(self, step: int) -> list[Draw]:
        """Batch `step`. Every epoch holds each pair once, in an order of its own."""
        first = step * self.batch_size
        return [self._draw(first + slot) for slot in range(self.batch_size)]

    def _draw(self, count: int) -> Draw:
        epoch, position = divmod(count, len(self.pairs))
        random = np.random.default_rng([self.seed, epoch, position])
        pair = self._cut(self.pairs[self._order(epoch)[position]], random)
        reference, query = (bool(draw < 0.5) and self.flip for draw in random.random(2))
        return Draw(pair, reference, query, int(random.integers(2**62)))

    def _make_order(self, epoch: int) -> NDArray[np.int64]:
        """The order of an epoch, (count,)."""
        random = np.random.default_rng([self.seed, epoch])
        order = random.permutation(len(self.pairs))
        if self.batching == "mixed":
            return order
        lengths = np.array([min(len(self.pairs[index].query.span), self.max_query) for index in order])
        pool = BATCHES_SORTED * self.batch_size
        order = np.concatenate([
            order[start : start + pool][np.argsort(lengths[start : start + pool], kind="stable")]
            for start in range(0, len(order), pool)
        ])  # fmt: skip
        whole = len(order) // self.batch_size * self.batch_size
        batches = order[:whole].reshape(-1, self.batch_size)
        return np.concatenate([batches[random.permutation(len(batches))].ravel(), order[whole:]])

    def _cut(self, pair: Pair, random: np.random.Generator) -> Pair:
        reference = self._cut_reference(pair, random)
        targets = tuple(part for tubelet in pair.targets if (part := tubelet.within(reference)))
        others = tuple(part for tubelet in pair.others if (part := tubelet.within(reference)))
        return Pair(cut_query(pair.query, self.max_query, random), reference, targets, pair.label, others, pair.split)

    def _cut_reference(self, pair: Pair, random: np.random.Generator) -> Span:
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


def cut_query(query: Tubelet, longest: int, random: np.random.Generator) -> Tubelet:
    """The query itself, or a random window of `longest` clips of it."""
    extra = len(query.span) - longest
    if extra <= 0:
        return query
    start = query.span.start + int(random.integers(extra + 1))
    part = query.within(Span(query.span.video, start, start + longest))
    assert part is not None
    return part
