"""Training on pairs: which are usable, how they are drawn, and batches of them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field

from stvr.config import Options
from stvr.heads import HEADS
from stvr.store import FeatureStore
from stvr.structures import ClipSpec, Features, Pair, Span
from stvr.tasks.choosing import flips
from stvr.tasks.pairs.dataset import Empty, HasClips, TrainingBatches, lacking, read_pairs_for
from stvr.tasks.pairs.draws import Draws
from stvr.tasks.pairs.stored_batches import StoredBatch, StoreReader

SAMPLED_SPANS, CLIPS_A_SPAN = 64, 4  # of the training references, from which a head measures its channels


class PairDraws(Options):
    """How training pairs are drawn; the defaults are the released program's, unless said."""

    batch_size: int = Field(default=8, ge=1)  # Feng et al. 2019, section 6
    window_seconds: float = Field(default=2.0, gt=0)
    windows: Literal["context", "targets"] = "context"  # ours: as test windows, background and all; targets: theirs
    max_query_seconds: float = Field(default=10.0, gt=0)
    flip: Literal["auto", "on", "off"] = "auto"  # mirror query and reference separately; auto where both views exist
    batching: Literal["mixed", "by_length"] = "mixed"  # by_length: queries of like length together, as the program


class PairExamples:
    """The pairs of split "train" whose clips are all in a store, with all its maps. part: this process, of how many."""

    classes: tuple[str, ...] = ()  # a query says what is meant

    def __init__(
        self, path: Path, store: FeatureStore, options: Any, seed: int, part: tuple[int, int] = (0, 1)
    ) -> None:
        self.store, self.seed = store, seed
        self.pairs = training_pairs(path, store)
        reads = HEADS[options.head.name].reads(options.head)
        flip = flips(options, store.spec.flipped, "Extract the videos with `stvr extract --flip`")
        draws = draw_pairs(self.pairs, options, seed, store.spec.clip, flip)
        self._batches = TrainingBatches(draws, StoreReader(store, reads.boxes, reads.query_in_box), part)

    def __len__(self) -> int:
        return len(self.pairs)

    def batch(self, step: int, empty: Empty = torch.empty) -> StoredBatch:
        return self._batches(step, empty)

    def sample(self) -> Features:
        order = torch.randperm(len(self.pairs), generator=torch.Generator().manual_seed(self.seed))[:SAMPLED_SPANS]
        spans = [self.pairs[int(index)].reference for index in order]
        short = [Span(span.video, span.start, min(span.stop, span.start + CLIPS_A_SPAN)) for span in spans]
        parts = [self.store.read_features(span).maps for span in short]
        return Features({endpoint: torch.cat([part[endpoint] for part in parts]) for endpoint in parts[0]})


def training_pairs(path: Path, source: HasClips) -> list[Pair]:
    """The pairs of split "train" whose clips are all in `source`; a warning names the others. LookupError for none."""
    pairs = [pair for pair in read_pairs_for(path, source)[0] if pair.split == "train"]
    if not pairs:
        raise ValueError(f"there is no training pair: {path} has none with split 'train'.")
    reasons = lacking(pairs, source)
    if reasons:
        first = next(iter(reasons.values()))
        summary = f"{len(reasons)} of {len(pairs)} training pairs need clips that are not there: {first}"
        if len(reasons) == len(pairs):
            raise LookupError(f"{summary}. {source.how_to_add}.")
        logging.getLogger("stvr").warning("%s. They are left out.", summary)
    return [pair for index, pair in enumerate(pairs) if index not in reasons]


def draw_pairs(pairs: list[Pair], options: PairDraws, seed: int, clip: ClipSpec, flip: bool) -> Draws:
    clips_per_second = float(clip.clips_per_second)
    return Draws(
        pairs, batch_size=options.batch_size, window=max(1, round(options.window_seconds * clips_per_second)),
        windows=options.windows, max_query=max(1, round(options.max_query_seconds * clips_per_second)),
        seed=seed, flip=flip, batching=options.batching,
    )  # fmt: skip
