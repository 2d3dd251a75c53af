"""Where the actors of the synthetic world go."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from stvr.world.painting import Floats

EDGE, ROOM = 0.15, 0.70  # an actor turns round this near the picture's edge; what lies between; in image sides
FLOOR = (0.76, 0.97)  # how far up and down the feet may go, in image sides
TURN_SECONDS, LAP_SECONDS, DASH_SECONDS = 0.5, 1.6, 0.6  # of a zigzag, a circle, a dash


def _zigzag(times: Floats) -> tuple[Floats, Floats]:
    up = np.where(np.mod(times, 2 * TURN_SECONDS) < TURN_SECONDS, 1.0, -1.0)
    return np.full_like(times, 0.5), up * np.sqrt(0.75)


def _circle(times: Floats) -> tuple[Floats, Floats]:
    angle = 2 * np.pi * times / LAP_SECONDS
    return np.cos(angle), np.sin(angle)


def _dash(times: Floats) -> tuple[Floats, Floats]:
    return np.where(np.mod(times, 2 * DASH_SECONDS) < DASH_SECONDS, 2.0, 0.0), np.zeros_like(times)


HEADINGS: Mapping[str, Callable[[Floats], tuple[Floats, Floats]]] = {  # pace to the right and down, 1 on average
    "": lambda times: (np.ones_like(times), np.zeros_like(times)),
    "straight": lambda times: (np.ones_like(times), np.zeros_like(times)),
    "zigzag": _zigzag,
    "circle": _circle,
    "dash": _dash,
}


def walk(rng: np.random.Generator, start: float, steps: Floats, size: int) -> tuple[Floats, Floats]:
    """Where an actor stands, in pixels, and which way it faces (1 or -1). It turns round near the picture's edge.

    steps (T,): pixels a frame, in the direction it faces at first.
    """
    edge, room = EDGE * size, ROOM * size
    facing = rng.choice([-1.0, 1.0])
    distance = start + rng.uniform(-0.06, 0.06) * size - edge + facing * np.cumsum(steps)
    place, forward = fold(distance, room)
    return edge + place, facing * np.where(forward, 1.0, -1.0)


def climb(start: float, steps: Floats, size: int) -> Floats:
    """How far down the feet are, in pixels, as the actor goes up and down the floor."""
    top, room = FLOOR[0] * size, (FLOOR[1] - FLOOR[0]) * size
    return top + fold(start - top + np.cumsum(steps), room)[0]


def fold(distance: Floats, room: float) -> tuple[Floats, NDArray[np.bool_]]:
    """A straight walk kept within [0, room] by turning round at both ends; and whether it goes forward."""
    lap = np.mod(distance, 2 * room)
    forward = lap < room
    return np.where(forward, lap, 2 * room - lap), forward
