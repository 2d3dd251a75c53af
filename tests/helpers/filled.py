"""Stores with made-up features, always the same for the same clip."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stvr.store import FeatureSpec
from stvr.structures import ClipSpec, MapSpec

SPEC = FeatureSpec("i3d", "rgb.safetensors", "1f0c", (MapSpec("Mixed_4c", 16, 2, 5),), ClipSpec(image_size=64))
SHAPE = (3, 2, 2, 5)  # row, column, time, channel


def clips(start, stop):
    """Feature maps and ticks of clips [start, stop), always the same for the same clip."""
    features = [np.random.default_rng(clip).standard_normal(SHAPE).astype(np.float16) for clip in range(start, stop)]
    return np.array(features, np.float16).reshape(-1, *SHAPE), np.arange(start * 8, stop * 8).reshape(-1, 8)


WHOLE = replace(SPEC, flow="ilk at 64 px", flipped=True)


TWO = replace(
    WHOLE, maps=(*SPEC.maps, MapSpec("Mixed_5c.mean", 64, 1, 7)), weights_digest="1f0c,5c5c"
)  # in a store with SPEC's map
DEEP_SHAPE = (1, 1, 1, 7)


def deep(start, stop):
    """Maps of the second endpoint of TWO for the same clips, and those of their mirrored frames."""
    maps = [np.random.default_rng([clip, 2]).standard_normal(DEEP_SHAPE) for clip in range(start, stop)]
    maps = np.array(maps, np.float16).reshape(-1, *DEEP_SHAPE)
    return maps, maps - np.float16(1)


def companions(start, stop):
    """Flow and features of mirrored frames of the same clips, unlike any of `clips`."""
    flows = [np.random.default_rng([clip, 1]).standard_normal((3, 2, 2)) for clip in range(start, stop)]
    return np.array(flows, np.float16).reshape(-1, 3, 2, 2), clips(start, stop)[0] + np.float16(1)


def fill(store, video, num_clips, planned=None):
    """Writes clips [0, num_clips) three at a time, going on where the video was cut short."""
    first, *second = store.spec.endpoints
    shapes = {first: SHAPE, **dict.fromkeys(second, DEEP_SHAPE)} if second else SHAPE
    with store.write(video, planned or num_clips, shapes, {"digest": "a", "source": "a.mp4"}) as writer:
        for start in range(writer.next_clip, num_clips, 3):
            part = start, min(start + 3, num_clips)
            (maps, ticks), (flow, flipped) = clips(*part), companions(*part)
            if second:
                other, other_flipped = deep(*part)
                maps, flipped = {first: maps, second[0]: other}, {first: flipped, second[0]: other_flipped}
            writer.append(maps, ticks, *((flow, flipped) if store.spec.flipped else ()))
        writer.complete(note="made by hand")
