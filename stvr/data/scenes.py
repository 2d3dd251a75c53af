"""Draw one video of the synthetic world: who does what when, over a moving background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from stvr.config import Options
from stvr.data.actions import ACTIONS, HELD_OUT, PARTS, pose
from stvr.data.painting import Floats, paint_capsule, pan, texture

TRAIN = tuple(name for name in ACTIONS if name not in HELD_OUT)
SPLITS = ("train", "test")
SWITCH_SECONDS = 0.25  # an actor takes this long to fall into the next action


class WorldOptions(Options):
    """The dials. Lengths are shares of the image side, times are seconds; pairs are (smallest, largest)."""

    seed: int = Field(default=0, ge=0)
    num_train_videos: int = Field(default=150, ge=1)
    num_test_videos: int = Field(default=48, ge=1)
    image_size: int = Field(default=160, ge=32, multiple_of=2)
    fps: int = Field(default=24, ge=1)
    seconds: tuple[int, int] = (6, 8)
    actors: tuple[int, int] = (2, 3)
    height: tuple[float, float] = (0.44, 0.69)  # of an actor who stands
    period: tuple[float, float] = (0.8, 1.5)  # seconds of one repetition
    segment_seconds: tuple[int, int] = (2, 4)  # how long an actor keeps to one action
    camera_speed: float = Field(default=0.05, ge=0)  # at most, image sides a second
    drift: float = Field(default=0.0, ge=0)  # every actor also slides at this speed, image sides a second

    @field_validator("seconds", "actors", "height", "period", "segment_seconds")
    @classmethod
    def _smallest_first(cls, pair: tuple[float, float]) -> tuple[float, float]:
        if not 0 < pair[0] <= pair[1]:
            raise ValueError(f"needs 0 < smallest <= largest, not {pair}")
        return pair


@dataclass(frozen=True, slots=True)
class Segment:
    """An actor's action over whole seconds [start, stop)."""

    start: int
    stop: int
    action: str


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One video: frames (T, S, S, 3) uint8; for each actor the boxes (T, 4) xyxy in [0, 1] and the timeline."""

    frames: NDArray[np.uint8]
    boxes: list[Floats]
    timelines: list[list[Segment]]


def render_scene(options: WorldOptions, split: str, index: int) -> Scene:
    """Draws one video. Depends on the options, the split and the index alone."""
    rng = np.random.default_rng([options.seed, SPLITS.index(split), index])
    num_seconds = int(rng.integers(options.seconds[0], options.seconds[1] + 1))
    times = np.arange(num_seconds * options.fps) / options.fps
    frames = _background(rng, options, times)
    num_actors = int(rng.integers(options.actors[0], options.actors[1] + 1))
    places = (rng.permutation(num_actors) + 0.5) / num_actors  # across the picture
    depths = np.sort(rng.uniform(0.80, 0.97, num_actors))  # of the floor under the feet; the nearest is painted last
    boxes, timelines = [], []
    for place, depth in zip(places, depths, strict=True):
        timeline = _timeline(rng, num_seconds, options.segment_seconds, TRAIN if split == "train" else HELD_OUT)
        boxes.append(_paint_actor(rng, frames, times, timeline, (place, depth), options))
        timelines.append(timeline)
    return Scene(np.clip(frames, 0, 255).astype(np.uint8), boxes, timelines)


def _background(rng: np.random.Generator, options: WorldOptions, times: Floats) -> NDArray[np.float32]:
    """A texture that the camera pans over: frames (T, S, S, 3)."""
    size = options.image_size
    angle, speed = rng.uniform(0, 2 * np.pi), rng.uniform(0, options.camera_speed) * size
    travel = speed * times[:, None] * [np.cos(angle), np.sin(angle)]
    corners = travel - travel.min(0)
    picture = texture(rng, size + 2 + int(np.ceil(corners.max())))
    return pan(picture, corners, size)


def _timeline(rng: np.random.Generator, num_seconds: int, lengths: tuple[int, int], names: tuple[str, ...],
              ) -> list[Segment]:
    """Fills the video with segments; neighbours differ. A video too short for two is one segment."""
    shortest, longest = lengths
    segments: list[Segment] = []
    start = 0
    while start < num_seconds:
        left = num_seconds - start
        fitting = [n for n in range(shortest, longest + 1) if n == left or left - n >= shortest]
        length = int(rng.choice(fitting)) if fitting else left
        fresh = [name for name in names if not segments or name != segments[-1].action]
        segments.append(Segment(start, start + length, fresh[rng.integers(len(fresh))]))
        start += length
    return segments


def _paint_actor(rng: np.random.Generator, frames: NDArray[np.float32], times: Floats, timeline: list[Segment],
                 place: tuple[float, float], options: WorldOptions) -> Floats:
    """Paints one actor over all frames; returns the boxes (T, 4) of what was painted, clipped to the picture."""
    size = frames.shape[1]
    height = rng.uniform(*options.height) * size
    shares = _shares(timeline, times)  # (segments, T)
    phase = 2 * np.pi * times / rng.uniform(*options.period) + rng.uniform(0, 2 * np.pi)
    girth = rng.uniform(0.8, 1.3)
    actions = [ACTIONS[segment.action] for segment in timeline]
    capsules = sum(share[:, None, None, None] * pose(action, phase, girth)
                   for action, share in zip(actions, shares, strict=True)) * height
    slide = options.drift * size * rng.choice([-1, 1])
    speed = slide + height * sum(action.travel * share for action, share in zip(actions, shares, strict=True))
    across, facing = _walk(rng, place[0] * size, speed / options.fps, size)
    capsules[..., 0] = capsules[..., 0] * facing[:, None, None] + across[:, None, None]
    capsules[..., 1] += place[1] * size
    radii, colours = _looks(rng, height * girth)
    for part, (radius, colour) in enumerate(zip(radii, colours, strict=True)):
        paint_capsule(frames, capsules[:, part], radius, colour)
    low = (capsules - radii[:, None, None]).min((1, 2))  # (T, 2)
    high = (capsules + radii[:, None, None]).max((1, 2))
    return np.clip(np.concatenate([low, high], 1) / size, 0, 1)


def _shares(timeline: list[Segment], times: Floats) -> Floats:
    """How far each segment's action is taken up at each time, (segments, T), summing to one."""
    begun = [np.clip((times - segment.start) / SWITCH_SECONDS, 0, 1) for segment in timeline[1:]]
    steps = np.stack([np.ones_like(times), *begun, np.zeros_like(times)])
    return steps[:-1] - steps[1:]


def _walk(rng: np.random.Generator, start: float, steps: Floats, size: int) -> tuple[Floats, Floats]:
    """Where an actor stands, in pixels, and which way it faces (1 or -1): it turns round near the picture's edge."""
    edge, room = 0.15 * size, 0.7 * size
    facing = rng.choice([-1.0, 1.0])
    way = start + rng.uniform(-0.06, 0.06) * size - edge + facing * np.cumsum(steps)
    lap = np.mod(way, 2 * room)
    forth = lap < room
    return edge + np.where(forth, lap, 2 * room - lap), facing * np.where(forth, 1.0, -1.0)


def _looks(rng: np.random.Generator, height: float) -> tuple[Floats, Floats]:
    """Radii (10,) in pixels and colours (10, 3) of an actor's parts."""
    thick = rng.uniform(0.8, 1.25)
    radius = {"arm": 0.032 * thick, "leg": 0.042 * thick, "torso": 0.075 * thick, "head": 0.065}
    shirt, trousers, sleeve = rng.uniform(0, 255, (3, 3))
    skin = np.array([224, 180, 140]) * rng.uniform(0.35, 1.1)
    colour = {"arm": shirt if rng.random() < 0.5 else sleeve, "leg": trousers, "torso": shirt, "head": skin}
    shades = rng.uniform(0.85, 1.15, (len(PARTS), 1))
    radii = np.array([radius[part] for part in PARTS]) * height
    return radii, np.clip(np.stack([colour[part] for part in PARTS]) * shades, 0, 255)
