"""A stream whose looks come a few clips late, because they must see what follows."""

from __future__ import annotations

from typing import NamedTuple

from stvr.structures import Features


class Held(NamedTuple):
    """The last clips of a stream, as far as the next looks need them; `given` of them are in looks already."""

    features: Features
    given: int


class Ready(NamedTuple):
    """Clips [start, stop) of features can be looked at; the others say what goes on around them. held: for the next."""

    features: Features
    start: int
    stop: int
    held: Held


def take(held: Held | None, features: Features, reach: int) -> Ready:
    """The next clips of a stream, whose looks see `reach` clips to either side. held: None at the start."""
    given = 0 if held is None else held.given
    features = features if held is None else held.features.followed_by(features)
    ready = max(given, len(features) - reach)
    first = max(0, ready - reach)
    return Ready(features, given, ready, Held(features.part(slice(first, None)), ready - first))
