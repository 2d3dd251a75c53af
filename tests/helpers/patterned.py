"""Made features of videos in which each actor has a pattern, a head that reads them, a query of one actor."""

from __future__ import annotations

import numpy as np
import torch

from stvr.heads.nearest import NEAREST, NearestHead, NearestOptions
from stvr.store import FeatureStore
from stvr.structures import ClipSpec, Features, FeatureSpec, MapSpec, Query, Span, Tubelet

CHANNELS, CELLS = 24, 10
SPEC = FeatureSpec(
    "blocks", "made", "aa,bb", (MapSpec("Mixed_4c", 16, 2, CHANNELS), MapSpec("Mixed_5c", 32, 1, CHANNELS)),
    ClipSpec(image_size=160),
)  # fmt: skip
ACTOR, OTHER = (0.2, 0.3, 0.5, 0.8), (0.6, 0.1, 0.9, 0.5)  # on the corners of cells of both maps but the latter's y


def moved(clip, actor, other, *, still=False, seed=0):
    """Features of a clip: noise, and a pattern of its own in each of two boxes. 10 x 10 x 2 and 5 x 5 x 1 cells."""
    maps = {}
    for name, cells, steps in (("Mixed_4c", CELLS, 2), ("Mixed_5c", CELLS // 2, 1)):
        random = np.random.default_rng([seed, 0 if still else clip, cells])
        values = random.normal(size=(cells, cells, steps, CHANNELS))
        for number, (x1, y1, x2, y2) in ((actor, ACTOR), (other, OTHER)):
            pattern = np.random.default_rng([99, number, cells]).normal(size=CHANNELS) * 4
            rows = slice(round(y1 * cells), max(round(y2 * cells), round(y1 * cells) + 1))
            values[rows, round(x1 * cells) : round(x2 * cells)] += pattern
        maps[name] = torch.from_numpy(values).float().flatten(-2)
    return maps


def video(num_clips, actor=1, other=2, **more):
    parts = [moved(clip, actor, other, **more) for clip in range(num_clips)]
    return Features({name: torch.stack([part[name] for part in parts]) for name in parts[0]})


def head_of(**options):
    return NearestHead(NEAREST.fit(NearestOptions(**options), SPEC), SPEC).eval()


def query_of(head, features, box=ACTOR, clips=3):
    boxes = torch.tensor(box).expand(clips, 4)
    first = Features({name: maps[:clips] for name, maps in features.maps.items()})
    return Query((Tubelet(Span("q", 0, clips), boxes),), head.pool(first, boxes))


def iou(one, other):
    """Of two boxes, by hand."""
    x1, y1, x2, y2 = max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])
    shared = max(x2 - x1, 0) * max(y2 - y1, 0)
    both = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / (both - shared)


def write(path, spec=SPEC, **videos):
    store = FeatureStore.create(path, spec)
    shapes = {"Mixed_4c": (CELLS, CELLS, 2, CHANNELS), "Mixed_5c": (CELLS // 2, CELLS // 2, 1, CHANNELS)}
    for name, features in videos.items():
        info = {"digest": name, "source": f"{name}.mp4", "width": 200, "height": 100,
                "duration_seconds": len(features) / 3}  # fmt: skip
        with store.write(name, len(features), shapes, info) as writer:
            maps = {each: values.unflatten(-1, (shapes[each][2], CHANNELS)).half()
                    for each, values in features.maps.items()}
            writer.append(maps, np.zeros((len(features), 8), np.int64))
            writer.complete(decode_errors=0)
    return store
