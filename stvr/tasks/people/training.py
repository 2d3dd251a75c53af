"""Training on people: keyframes are drawn, each read with the clips around it, mirrored where both views exist."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from stvr.config import Options
from stvr.store import FeatureStore
from stvr.structures import Features, PeopleBatch
from stvr.tasks.choosing import flips, share_of
from stvr.tasks.people.around import KeyframeItem, batch_of, boxes_by_moment, read_keyframe, read_window
from stvr.tasks.people.file import classes_in, found_in, read_people

SAMPLED = 64  # keyframes from which a head measures its channels


class PeopleDraws(Options):
    """How training keyframes are drawn; the defaults are STEP's. flip: half of them mirrored."""

    batch_size: int = Field(default=8, ge=1)
    flip: Literal["auto", "on", "off"] = "auto"  # auto where both views exist


class PeopleExamples:
    """The keyframes of split "train" where somebody is, and their clip in a store. part: this process, of how many."""

    def __init__(
        self, path: Path, store: FeatureStore, options: Any, seed: int, part: tuple[int, int] = (0, 1)
    ) -> None:
        self.store, self.seed, self.reach = store, seed, options.head.reach
        self.batch_size, self.share = options.batch_size, share_of(options.batch_size, part)
        self.flip = flips(options, store.spec.flipped, "Extract the videos with `stvr extract --flip`")
        keyframes = [each for each in read_people(path) if each.split == "train" and each.people]
        if not keyframes:
            raise ValueError(f"there is nothing to train on: {path} has nobody at a keyframe of split 'train'.")
        self.items, reasons = found_in(keyframes, store)
        if reasons:
            logging.getLogger("stvr").warning("%d of %d keyframes need clips that are not there, and are left out: %s",
                                              len(reasons), len(keyframes), reasons[0])
        self.boxes = boxes_by_moment(keyframes)
        self.classes = classes_in([keyframe for keyframe, _ in self.items])

    def __len__(self) -> int:
        return len(self.items)

    def batch(self, step: int, empty: Any = None, /) -> PeopleBatch:
        counts = range(step * self.batch_size, (step + 1) * self.batch_size)[self.share]
        items, seeds = zip(*(self._item(count) for count in counts), strict=True)
        return batch_of(items, seeds)

    def _item(self, count: int) -> tuple[KeyframeItem, int]:
        """Keyframe `count` of the run and a seed, decided by the run's: every epoch holds each once, in its order."""
        epoch, position = divmod(count, len(self.items))
        keyframe, clip = self.items[order_in(self.seed, epoch, len(self.items))[position]]
        random = np.random.default_rng([self.seed, epoch, position])
        flipped = bool(random.random() < 0.5) and self.flip
        read = read_keyframe(self.store, keyframe, clip, self.reach, self.classes, self.boxes, flipped)
        return read, int(random.integers(2**62))

    def sample(self) -> Features:
        order = torch.randperm(len(self.items), generator=torch.Generator().manual_seed(self.seed))[:SAMPLED]
        parts = [read_window(self.store, self.items[int(index)][1], 0) for index in order]
        return Features({name: torch.cat([part[name] for part in parts]) for name in parts[0]})


@lru_cache(maxsize=2)  # a batch may reach into the next epoch
def order_in(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(count)
