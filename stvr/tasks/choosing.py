"""Which examples of a file are used: those of a split, a sample of them, this process's share of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np


class HasSplit(Protocol):
    """split: train, val or test."""

    @property
    def split(self) -> str: ...


class HasFlip(Protocol):
    """flip: auto, on or off."""

    @property
    def flip(self) -> str: ...


Example = TypeVar("Example", bound=HasSplit)
T = TypeVar("T")


def of_split(examples: Sequence[Example], split: str | None, what: str) -> list[Example]:
    """Those of a split; None: of "test" where there is one, else all. LookupError where there are none.

    what: one of them, as the message calls it.
    """
    wanted = "test" if split is None else split
    chosen = [each for each in examples if each.split == wanted]
    if not chosen and split is not None:
        there = ", ".join(sorted({each.split for each in examples}))
        raise LookupError(f"no {what} has split {split!r}; the file has: {there or f'no {what}s at all'}.")
    return chosen or list(examples)


def refuse_what_is_for_pairs(audit: bool, dials: Path | None) -> None:
    """Of a head that is asked with no query."""
    if audit or dials:
        raise ValueError("--audit and --dials are for pairs; this head is asked with no query. Leave them out.")


def sample(examples: list[T], limit: int | None, seed: int) -> list[T]:
    """All, or a sample of `limit` in their order."""
    if limit is None or limit >= len(examples):
        return examples
    chosen = np.random.default_rng(seed).choice(len(examples), limit, replace=False)
    return [examples[index] for index in sorted(chosen)]


def share_of(batch_size: int, part: tuple[int, int]) -> slice:
    """Which items of every batch are those of this process, part: (which, of how many). ValueError for unequal ones."""
    which, count = part
    if batch_size % count:
        raise ValueError(f"a batch of {batch_size} cannot be shared by {count} processes. "
                         f"Give --batch-size a multiple of {count}.")
    size = batch_size // count
    return slice(which * size, (which + 1) * size)


def flips(options: HasFlip, both_views: bool, how: str) -> bool:
    """Whether views are mirrored in training; `how` says how to get both."""
    if options.flip == "on" and not both_views:
        raise ValueError(f"the option flip is on, but there is one view of each video. {how}.")
    return both_views and options.flip != "off"
