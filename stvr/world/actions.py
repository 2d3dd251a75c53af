"""What actors of the synthetic world do: 24 limb motions, as capsules one body height tall, and four paths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Limb = Callable[[int, Floats], tuple[Floats, Floats]]  # (side -1 or 1, phase) -> upper angle, bend; 0 hangs down

PARTS = ("leg", "leg", "leg", "leg", "torso", "head", "arm", "arm", "arm", "arm")  # painted in this order


@dataclass(frozen=True, slots=True)
class Action:
    """What each limb does, what the trunk does, and how fast the actor travels (body heights a second)."""

    left_arm: str
    right_arm: str
    legs: str = "stand"
    trunk: str = "upright"
    travel: float = 0.0


ACTIONS = {  # the order gives the ids, from 1
    "wave1": Action("wave", "rest"),
    "wave2": Action("wave", "wave"),
    "ohclap": Action("overhead_clap", "overhead_clap"),
    "kick": Action("rest", "rest", "kick"),
    "jump": Action("rest", "rest", "jump"),
    "squat": Action("rest", "rest", "squat"),
    "bow": Action("rest", "rest", trunk="bow"),
    "walk": Action("swing", "swing", "walk", travel=0.45),
    "run": Action("pump", "pump", "run", travel=0.9),
    "spin2": Action("spin", "spin"),
    "punch": Action("punch", "punch"),
    "jack": Action("raise", "raise", "jack"),
    "clap": Action("clap", "clap"),
    "flap": Action("flap", "flap"),
    "knee": Action("hips", "hips", "knee"),
    "lunge": Action("hips", "hips", "lunge"),
    "sway": Action("up", "up", trunk="sway"),
    "raise1": Action("raise", "rest"),
    "spin1": Action("spin", "hips"),
    "squatraise": Action("raise", "raise", "squat"),
    "kickwave": Action("wave", "wave", "kick"),
    "march": Action("swing", "swing", "knee"),
    "flygo": Action("flap", "flap", "walk", travel=0.45),
    "jumpup": Action("up", "up", "jump"),
}
HELD_OUT = ("wave1", "squat", "run", "punch", "jack", "bow", "spin1", "kickwave")  # for testing, on any path
VALIDATION = ("flap", "knee", "jump", "sway")  # also held out in a world that has validation videos
PATHS = ("straight", "zigzag", "circle", "dash")
ACTION_IDS = {name: index for index, name in enumerate((*ACTIONS, *PATHS), start=1)}

Deed = tuple[str, str]  # a limb motion and a path; "" is the motion's own way of travelling


def deeds(split: str, *, combined: bool, validation: bool) -> list[Deed]:
    """Everything that actors of a split may do. No limb motion is in two splits, not even on another path.

    combined: every motion on every path. validation: whether a split "val" takes its motions from training.
    """
    held_out = {"test": HELD_OUT, "val": VALIDATION if validation else ()}
    others = {name for names in held_out.values() for name in names}
    names = held_out.get(split) or [name for name in ACTIONS if name not in others]
    return [(name, path) for name in names for path in (PATHS if combined else ("",))]


def action_names(deed: Deed) -> list[str]:
    """The labels of an actor who does it."""
    return [name for name in deed if name]


def pose(action: Action, phase: Floats, girth: float = 1.0) -> Floats:
    """Capsule ends (T, 10, 2, 2) as xy, y down, for a phase (T,) in radians: feet on y = 0, hips at x = 0.

    Lengths are in body heights; `girth` widens shoulders and hips.
    """
    lean = TRUNK[action.trunk](phase)
    hip = np.zeros((len(phase), 2))
    neck = hip + 0.30 * _direction(np.pi - lean)
    across = np.stack([np.cos(lean), np.sin(lean)], -1) * girth
    legs = [_leg(action.legs, side, phase, hip, girth) for side in (-1, 1)]
    arms = [_arm(name, side, phase, neck + 0.085 * side * across, lean)
            for side, name in ((-1, action.left_arm), (1, action.right_arm))]
    head = neck + 0.11 * _direction(np.pi - lean)
    torso, face = np.stack([hip, neck], 1), np.stack([head, head], 1)
    capsules = np.stack([*legs[0], *legs[1], torso, face, *arms[0], *arms[1]], 1)
    floor = capsules[:, :4, :, 1].max((1, 2)) + LIFT.get(action.legs, 0.0) * np.abs(np.sin(phase))
    capsules[..., 1] -= floor[:, None, None]
    return capsules


def _leg(name: str, side: int, phase: Floats, hip: Floats, girth: float) -> tuple[Floats, Floats]:
    angle, bend = LEGS[name](side, phase)
    start = hip + np.array([side * 0.045 * girth, 0.0])
    knee = start + 0.24 * _direction(angle)
    foot = knee + 0.24 * _direction(angle + bend)
    return np.stack([start, knee], 1), np.stack([knee, foot], 1)


def _arm(name: str, side: int, phase: Floats, shoulder: Floats, lean: Floats) -> tuple[Floats, Floats]:
    angle, bend = ARMS[name](side, phase)
    elbow = shoulder + 0.17 * _direction(angle - 0.5 * lean)
    hand = elbow + 0.17 * _direction(angle - 0.5 * lean + bend)
    return np.stack([shoulder, elbow], 1), np.stack([elbow, hand], 1)


def _direction(angle: Floats) -> Floats:
    return np.stack([np.sin(angle), np.cos(angle)], -1)


def _out_and_back(phase: Floats) -> Floats:
    return 0.5 - 0.5 * np.cos(phase)


def _held(angle: float, bend: float) -> Limb:
    """A limb that keeps still."""
    return lambda side, phase: (np.full_like(phase, side * angle), np.full_like(phase, side * bend))


def _moving(limb: Callable[[int, Floats], tuple[Floats | float, Floats | float]]) -> Limb:
    """Lets a formula give a constant for an angle that does not move."""
    def angles(side: int, phase: Floats) -> tuple[Floats, Floats]:
        angle, bend = limb(side, phase)
        return np.zeros_like(phase) + angle, np.zeros_like(phase) + bend
    return angles


ARMS: dict[str, Limb] = {
    "rest": _held(0.15, 0.0),
    "hips": _held(0.8, -1.7),
    "up": _held(2.9, 0.0),
    "wave": _moving(lambda side, phase: (side * 2.2, side * (0.3 + 0.8 * np.sin(2 * phase)))),
    "raise": _moving(lambda side, phase: (side * (0.2 + 2.8 * _out_and_back(phase)), 0.0)),
    "spin": _moving(lambda side, phase: (side * phase, 0.0)),
    "punch": _moving(lambda side, phase: (side * 1.3, -side * 2.3 * _out_and_back(phase))),
    "clap": _moving(lambda side, phase: (side * (0.9 + 0.3 * _out_and_back(phase)),
                                         -side * (1.1 + 1.1 * _out_and_back(phase)))),
    "overhead_clap": _moving(lambda side, phase: (side * (2.2 + 0.8 * _out_and_back(phase)), side * 0.1)),
    "flap": _moving(lambda side, phase: (side * (1.4 + 0.6 * np.sin(2 * phase)), side * 0.3 * np.cos(2 * phase))),
    "swing": _moving(lambda side, phase: (0.6 * side * np.sin(phase), 0.4)),
    "pump": _moving(lambda side, phase: (0.9 * side * np.sin(2 * phase), 1.5)),
}
LEGS: dict[str, Limb] = {
    "stand": _held(0.1, 0.0),
    "jump": _held(0.1, 0.0),
    "walk": _moving(lambda side, phase: (-0.5 * side * np.sin(phase), -0.25 - 0.25 * np.cos(side * phase))),
    "run": _moving(lambda side, phase: (-0.9 * side * np.sin(2 * phase),
                                        -0.6 - 0.6 * np.cos(2 * phase + (side > 0) * np.pi))),
    "kick": _moving(lambda side, phase: (0.1 + 1.5 * np.maximum(0, np.sin(phase)), -0.3 * _out_and_back(phase))
                    if side > 0 else (-0.1, 0.0)),
    "squat": _moving(lambda side, phase: (side * (0.15 + 0.9 * _out_and_back(phase)),
                                          -side * 1.5 * _out_and_back(phase))),
    "jack": _moving(lambda side, phase: (side * (0.05 + 0.5 * _out_and_back(phase)), 0.0)),
    "knee": _moving(lambda side, phase: (side * (0.1 + 1.3 * np.maximum(0, side * np.sin(phase))),
                                         -side * 1.6 * np.maximum(0, side * np.sin(phase)))),
    "lunge": _moving(lambda side, phase: (_out_and_back(phase), -0.9 * _out_and_back(phase))
                     if side > 0 else (-0.7 * _out_and_back(phase), 0.0)),
}
TRUNK: dict[str, Callable[[Floats], Floats]] = {  # lean in radians
    "upright": np.zeros_like,
    "bow": lambda phase: 1.2 * _out_and_back(phase),
    "sway": lambda phase: 0.4 * np.sin(phase),
}
LIFT = {"jump": 0.22, "jack": 0.08}  # body heights off the floor, twice a period
