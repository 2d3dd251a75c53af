"""Training on labels: stretches of video are drawn, read at one step of each part, mirrored where that is right."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from stvr.config import Options
from stvr.heads import HEADS
from stvr.labels import JOIN
from stvr.store import FeatureStore
from stvr.structures import Features, LabelBatch, Span
from stvr.tasks.choosing import flips, share_of
from stvr.tasks.labels.file import found_in, read_labels
from stvr.tasks.labels.segments import middle_steps, random_steps
from stvr.tasks.labels.steps import Steps, together

SAMPLED = 64  # stretches from which a head measures its channels
SAMPLED_BYTES = 1 << 28  # of their features at most, where they are maps


class LabelDraws(Options):
    """How training examples are drawn. flip: half of them mirrored, with the class that they then show."""

    batch_size: int = Field(default=128, ge=1)
    flip: Literal["auto", "on", "off"] = "auto"  # auto where both views exist


class LabelExamples:
    """The stretches of split "train" that are in a store. part: this process, of how many."""

    def __init__(
        self, path: Path, store: FeatureStore, options: Any, seed: int, part: tuple[int, int] = (0, 1)
    ) -> None:
        self.seed, self.segments, self.batch_size = seed, options.head.segments, options.batch_size
        self.share = share_of(options.batch_size, part)
        self.flip = flips(options, store.spec.flipped, "Extract the videos with `stvr extract --flip`")
        reads = HEADS[options.head.name].reads(options.head)
        self.steps, self.reads_boxes = Steps(store, reads.cells), reads.boxes
        self.several = options.head.loss == "multi_label"
        stretches = [each for each in read_labels(path, store.spec.clip) if each.split == "train"]
        if not stretches:
            raise ValueError(f"there is nothing to train on: {path} has no row with split 'train'.")
        self.items, reasons = found_in(stretches, store)
        if reasons:
            logging.getLogger("stvr").warning("%d of %d labelled stretches are not there and left out: %s",
                                              len(reasons), len(stretches), reasons[0])
        shown = {name for stretch, _ in self.items for name in shown_in(stretch.label, self.several)}
        self.classes = tuple(sorted(shown))
        if len(self.classes) < 2:
            raise ValueError(f"{path} has one class to train on, {self.classes[0]!r}. Give two or more.")

    def __len__(self) -> int:
        return len(self.items)

    def batch(self, step: int, empty: Any = torch.empty) -> LabelBatch:
        first = step * self.batch_size
        drawn = [self._item(first + slot) for slot in range(self.batch_size)[self.share]]
        read = [self.steps.read(*each) for each, _ in drawn]
        maps = {name: torch.stack([each[name] for each in read]) for name in read[0]}
        boxes = together([self.steps.boxes(*each) for each, _ in drawn]) if self.reads_boxes else None
        numbers = [[self.classes.index(name) for name in shown_in(label, self.several)] for _, label in drawn]
        return LabelBatch(maps, torch.tensor([each[0] for each in numbers]), boxes,
                          truth_of(numbers, len(self.classes)) if self.several else None)

    def _item(self, count: int) -> tuple[tuple[Span, list[int], bool], str]:
        """Item `count` of the run, decided by the seed alone: every epoch holds each stretch once, in its own order.

        What is read (span, steps, whether mirrored), and the label that it then shows.
        """
        epoch, position = divmod(count, len(self.items))
        stretch, span = self.items[order_in(self.seed, epoch, len(self.items))[position]]
        random = np.random.default_rng([self.seed, epoch, position])
        chosen = random_steps(self.steps.count(span), self.segments, random)
        mirrored = (mirrored_label(stretch.label, self.classes, self.several)
                    if self.flip and random.random() < 0.5 else None)
        return (span, chosen, mirrored is not None), mirrored or stretch.label

    def sample(self) -> Features:
        order = torch.randperm(len(self.items), generator=torch.Generator().manual_seed(self.seed))[:SAMPLED]
        parts: list[dict[str, Tensor]] = []
        for index in order:
            span = self.items[int(index)][1]
            parts.append(self.steps.read(span, middle_steps(self.steps.count(span), self.segments)))
            if sum(each.nbytes for part in parts for each in part.values()) > SAMPLED_BYTES:
                break
        return Features({name: torch.cat([part[name] for part in parts]) for name in parts[0]})


@lru_cache(maxsize=2)  # a batch may reach into the next epoch
def order_in(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(count)


def mirrored_label(label: str, classes: Collection[str], several: bool = False) -> str | None:
    """What a stretch of this label shows in a mirror: left and right change places. None where there is no such class.

    "Swiping Left" is "Swiping Right", and "Clapping" stays "Clapping". several: as in `shown_in`.
    """
    other = re.sub(r"\b(left|right)\b", lambda word: swapped(word[0]), label, flags=re.IGNORECASE)
    return other if all(name in classes for name in shown_in(other, several)) else None


def shown_in(label: str, several: bool) -> list[str]:
    """The classes that a label names. several: whether "nod + wave" are two."""
    return label.split(JOIN) if several else [label]


def truth_of(numbers: Sequence[Sequence[int]], num_classes: int) -> Tensor:
    """The classes of each stretch by number -> (B, classes) bool."""
    return torch.stack([torch.zeros(num_classes, dtype=torch.bool).index_fill(0, torch.tensor(list(each)), True)
                        for each in numbers])


def swapped(word: str) -> str:
    other = {"left": "right", "right": "left"}[word.lower()]
    return other.capitalize() if word[0].isupper() else other
