"""Copy a store with its features coded another way, and measure what that costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stvr.store.arrays import arrays_of, maps_name, views_of
from stvr.store.codes import check_code, decode, encode
from stvr.store.features import FeatureStore
from stvr.store.writer import VideoWriter
from stvr.structures import Span

WRITTEN_ANEW = ("state", "num_clips", "num_planned", "stvr")  # notes that every writer makes itself


@dataclass(slots=True)
class Loss:
    """Of one video. relative: ||kept - original|| / ||original||. largest: the largest difference of one value.

    largest_value: the largest absolute value of the original.
    """

    relative: float
    largest: float
    largest_value: float


def quantize(
    source: FeatureStore, out: Path | str, compress: str, tell: Callable[[str], None] = lambda video: None
) -> dict[str, Loss]:
    """Copies every video of a lossless store into another, coded; returns what each lost. Continues a stopped run.

    Holds one shard in memory. ValueError when the source is not lossless, or `out` holds other features.
    """
    check_code(compress)
    if source.spec.compress != "lossless":
        raise ValueError(f"{source} is already kept as {source.spec.compress}, so a second loss could not be measured. "
                         "Give the lossless store.")
    target = FeatureStore.open_or_create(out, replace(source.spec, compress=compress), source.clips_per_shard)
    if str(target) == str(source):
        raise ValueError(f"{out} is the store itself. Give another --out.")
    for video in source.videos():
        if video not in target:
            _code(source, target, video)
        tell(video)
    return {video: Loss(**target.info(video)["loss"]) for video in source.videos()}


def copied_notes(source: FeatureStore, video: str) -> dict[str, Any]:
    return {name: value for name, value in source.info(video).items() if name not in WRITTEN_ANEW}


def spans(source: FeatureStore, video: str) -> Iterator[tuple[int, Span]]:
    """The shards of a video, each with its number."""
    num_clips, size = source.num_clips(video), source.clips_per_shard
    for shard, start in enumerate(range(0, num_clips, size)):
        yield shard, Span(video, start, min(start + size, num_clips))


def _code(source: FeatureStore, target: FeatureStore, video: str) -> None:
    shapes, num_clips, squares = source.map_shapes(video), source.num_clips(video), np.zeros(2)
    largest = largest_value = 0.0
    maps = {maps_name(source.spec, *view): view for view in views_of(source.spec)}
    with target.write(video, num_clips, shapes, copied_notes(source, video)) as writer:
        for shard, span in spans(source, video):
            parts: dict[str, NDArray[Any]] = {}
            for name in arrays_of(source.spec, shapes):
                original = source.read_part(span, name)
                if name not in maps:
                    parts[name] = original
                    continue
                coded = encode(original, target.spec.compress)
                parts |= {maps_name(source.spec, *maps[name], part): values for part, values in coded.items()}
                error = decode(coded, target.spec.compress).astype(np.float32) - original
                squares += np.square(error, dtype=np.float64).sum(), np.square(original, dtype=np.float64).sum()
                largest = max(largest, float(np.abs(error).max()))
                largest_value = max(largest_value, float(np.abs(original).max()))
            _append_missing(writer, shard, parts)
        relative = float(np.sqrt(squares[0] / squares[1])) if squares[1] else 0.0
        writer.complete(loss=asdict(Loss(relative, largest, largest_value)),
                        num_planned=source.info(video)["num_planned"])


def _append_missing(writer: VideoWriter, shard: int, parts: dict[str, NDArray[Any]]) -> None:
    if shard in writer.missing:
        writer.append_parts(parts)
