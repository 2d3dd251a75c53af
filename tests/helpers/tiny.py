"""A store of random features, pairs and a head, all so small that training takes no time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from stvr.config import fill
from stvr.heads.assembly import PRESETS, MatchingOptions, build_matching
from stvr.heads.matching import MatchingHead
from stvr.jobs.train import TrainOptions, train_options
from stvr.store import FeatureSpec, FeatureStore
from stvr.structures import ClipSpec, MapSpec, Pair, Span, Tubelet
from stvr.tasks.pairs.build import write_pairs

SPEC = FeatureSpec("i3d", "analytic", "sha256:00", (MapSpec("Mixed_4c", 16, 2, 8),), ClipSpec(image_size=160))
HEAD = {
    "width": 8, "proposal_width": 8, "num_proposals": 6, "attention_width": 4, "tail_width": 8,
    "tail_units": 1, "embedding_width": 4,
}  # fmt: skip
DEEP = MapSpec("Mixed_5c", 32, 1, 6)
TWO = replace(SPEC, maps=(*SPEC.maps, DEEP), weights_digest="sha256:00,sha256:05")
NUM_CLIPS = 24


def spec_of(width: int) -> FeatureSpec:
    """SPEC with maps of `width` channels once their two time steps lie side by side."""
    return replace(SPEC, maps=(MapSpec("Mixed_4c", 16, 2, width // 2),))


def build_small(map_width: int = 16, preset: str = "paper", **options: object) -> MatchingHead:
    """A matching head of HEAD's sizes over a preset, for maps of `map_width` channels; options win."""
    chosen = fill(MatchingOptions, PRESETS[preset].get("head", {}), flags={**HEAD, **options})
    spec = spec_of(map_width)
    if chosen.match_on:
        spec = replace(spec, maps=(*spec.maps, DEEP), weights_digest=TWO.weights_digest)
    return build_matching(chosen, spec)


LABELS = {"a": "1", "b": "1", "c": "2", "d": "2"}  # video -> what is done in it


def write_store(path: Path, spec: FeatureSpec = SPEC, side: int = 10, videos: str = "abcd") -> FeatureStore:
    """Videos of 24 clips, maps of side x side x 2 time steps x 8 channels, and everything else that the spec names.

    A second map, Mixed_5c of TWO, has half the side.
    """
    store = FeatureStore.create(path, spec, clips_per_shard=NUM_CLIPS)
    for number, video in enumerate(videos):
        maps = torch.rand(NUM_CLIPS, side, side, 2, 8, generator=torch.Generator().manual_seed(number)).half()
        deep = torch.rand(NUM_CLIPS, side // 2, side // 2, 1, 6, generator=torch.Generator().manual_seed(50 + number))
        given = dict(zip(spec.endpoints, (maps, deep.half()), strict=False))
        flipped = {endpoint: each.flip(2).sqrt() for endpoint, each in given.items()}
        with store.write(video, NUM_CLIPS, {name: tuple(each.shape[1:]) for name, each in given.items()}) as writer:
            ticks = torch.zeros(NUM_CLIPS, spec.clip.frames_per_clip, dtype=torch.long).numpy()
            flow = torch.randn(NUM_CLIPS, side, side, 2, generator=torch.Generator().manual_seed(number)).half().numpy()
            writer.append(
                given, ticks, flow if spec.flow != "none" else None, flipped if spec.flipped else None
            )  # fmt: skip
            writer.complete(width=160, height=160, duration_seconds=NUM_CLIPS / 3)
    return store


def tubelet(video: str, start: int = 6, stop: int = 12) -> Tubelet:
    return Tubelet(Span(video, start, stop), torch.tensor([0.2, 0.1, 0.6, 0.9]).repeat(stop - start, 1))


def pair(query: str, reference: str, split: str = "train", stop: int = NUM_CLIPS) -> Pair:
    """The query asked of the reference, where its label is done in clips 6 to 12, or not at all."""
    tubelets = (tubelet(reference),)
    targets, others = (tubelets, ()) if LABELS[query] == LABELS[reference] else ((), tubelets)
    return Pair(tubelet(query), Span(reference, 0, stop), targets, LABELS[query], others, split)


def write_tiny_pairs(path: Path, pairs: list[Pair] | None = None, fps: int = 24) -> Path:
    """Writes the pairs; without any, a few of both splits."""
    videos = [("a", "b"), ("b", "a"), ("c", "d"), ("d", "c"), ("a", "c")]
    chosen = pairs or [pair(query, reference, split) for split in ("train", "test") for query, reference in videos]
    write_pairs(path, chosen, {"clip": {"fps": fps, "frames_per_clip": 8}, "labels": {"1": "nod", "2": "wave"}})
    return path


def tiny_options(**flags: object) -> TrainOptions:
    """The small preset with a head of a few hundred numbers."""
    own = {
        "head": HEAD, "steps": 4, "batch_size": 2, "save_every": 2, "log_every": 1, "warmup_steps": 1,
        "window_seconds": 1.0, "max_query_seconds": 1.0,
    }  # fmt: skip
    return train_options("small", flags={**own, **flags})
