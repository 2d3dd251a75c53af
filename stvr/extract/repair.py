"""Recompute what is broken in a store from the videos; what is whole is not touched."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from stvr.extract.arithmetic import arithmetic
from stvr.extract.extractor import digest_of
from stvr.extract.flow import Flow
from stvr.extract.job import ExtractReport, by_name, extract
from stvr.extract.maps import Backbone
from stvr.store import Checked, FeatureStore
from stvr.video.copies import local
from stvr.video.source import Source

USUAL: dict[str, Any] = {"precision": "auto", "batch_size": 8}  # for a store whose notes are all lost


def repair(
    store: FeatureStore,
    found: Checked,
    videos: Sequence[Source],
    load: Callable[[str], Backbone],
    flow: Flow | None = None,
    workers: int = 1,
) -> ExtractReport:
    """Recomputes what `found` says is broken, shard by shard, as it was made: same spec, precision and batches.

    videos: files, of which those that are needed are read. load: precision -> backbone.
    The bytes are the ones that were lost if processor and torch are the same (see `extract`); where a video's notes say
    that they were others, `mixed` says so. A video whose file is missing or has changed stays as it is, and is
    reported. ValueError for another backbone.
    """
    files, result, spec = by_name(videos), ExtractReport(), store.spec
    groups: dict[tuple[str, int], list[str]] = defaultdict(list)
    made_by: dict[str, str] = {}
    broken = dict.fromkeys(fault.video for fault in found.faults)
    sound = next((store.info(video) for video in store.videos() if video not in broken), {})
    for video in broken:
        info = store.info(video) if video in store else {}
        if reason := _unusable(video, files.get(video), info.get("digest")):
            result.failed[video] = reason
        else:
            usual = USUAL | sound | info  # one whose notes are lost was made as the others
            made_by[video] = arithmetic(usual)
            groups[usual["precision"], usual["batch_size"]].append(video)
    for (precision, batch_size), names in groups.items():
        backbone = load(precision)
        asked = replace(spec, backbone=backbone.name, weights_digest=backbone.weights_digest,
                        maps=backbone.map_specs(spec.clip), flow=flow.spec if flow else "none")  # fmt: skip
        if lines := spec.differences(asked):
            raise ValueError(f"{store} holds other features: its {'; its '.join(lines)}. "
                             "Give the weights that this store was made with.")
        for name in names:
            shards = [fault.shard for fault in found.faults if fault.video == name]
            whole = [shard for shard in shards if shard is not None]
            store.reopen(name, whole if len(whole) == len(shards) else None)
        made = extract(
            {name: files[name] for name in names}, store.path, backbone, spec.clip, batch_size=batch_size, flow=flow,
            flip=spec.flipped, colour_order=spec.colour_order, resize=spec.resize, compress=spec.compress,
            workers=workers, retry=True,
        )  # fmt: skip
        result.done += made.done
        result.failed |= made.failed
        result.doubtful |= made.doubtful
        result.mixed |= _rounded_otherwise(store, made.done, made_by) | made.mixed
        result.clips_computed += made.clips_computed
        result.clips_reused += made.clips_reused
    return result


def _rounded_otherwise(store: FeatureStore, videos: Sequence[str], made_by: dict[str, str]) -> dict[str, str]:
    """A line for each video that was computed again by another torch or processor than before."""
    now = {video: arithmetic(store.info(video)) for video in videos}
    return {video: f"shards recomputed by {now[video]}, made before by {made_by[video]}: last bits may differ"
            for video in videos if now[video] != made_by[video]}  # fmt: skip


def _unusable(video: str, source: Source | None, digest: str | None) -> str:
    if source is None:
        return f"the file of {video!r} is not among those given. Name it, or its folder."
    if digest is None:
        return ""
    with local(source) as (path, _):
        same = digest_of(path) == digest
    if not same:
        return f"{source} is not the file that {video!r} was made from, which had the digest {digest}. Give that file."
    return ""
