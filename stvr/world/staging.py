"""Draw what a video of the synthetic world contains: background, actors and what they do, boards, clutter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stvr.world.actions import ACTIONS, PARTS, Deed, action_names, deeds, pose
from stvr.world.movement import HEADINGS, climb, fold, walk
from stvr.world.options import CELL, CLIPS_A_SECOND, SPLITS, WorldOptions
from stvr.world.painting import Floats, texture
from stvr.world.things import Board, Body, Thing

SWITCH_SECONDS = 0.25  # an actor takes this long to go over to the next action
CAMERA_ROOM = 0.5  # image sides: the camera turns round after this much
BOARD_SPEED = 2.5  # image sides a second, when it comes and goes

Layers = list[tuple[Thing, int | None]]  # in the order of painting; an actor with its number, anything else with None


@dataclass(frozen=True, slots=True)
class Dials:
    """The values that one video drew for its dials."""

    speed: float
    occlusion: float
    clutter: int


@dataclass(frozen=True, slots=True)
class Segment:
    """What an actor does over whole seconds [start, stop)."""

    start: int
    stop: int
    deed: Deed

    @property
    def labels(self) -> list[str]:
        return action_names(self.deed)


@dataclass(frozen=True, slots=True, eq=False)
class Actor:
    """timeline: its segments, end to end. feet (T, 2) xy in pixels: where it stands."""

    body: Body
    timeline: list[Segment]
    feet: Floats


def background(rng: np.random.Generator, options: WorldOptions, times: Floats) -> tuple[NDArray[np.float32], Floats]:
    """A texture that the camera pans over, and where the top left corner of each frame lies on it (T, 2)."""
    size = options.image_size
    angle, speed = rng.uniform(0, 2 * np.pi), rng.uniform(0, options.camera_speed) * size
    distance, _ = fold(speed * times, CAMERA_ROOM * size)
    travel = distance[:, None] * [np.cos(angle), np.sin(angle)]
    corners = travel - travel.min(0)
    return texture(rng, size + 2 + int(np.ceil(corners.max()))), corners


def vocabulary(options: WorldOptions, split: str) -> list[Deed]:
    """What the actors of a split may do; of combinations, as many as the split has videos, but at least two."""
    known = deeds(split, combined=options.combined, validation=options.num_val_videos > 0)
    if not options.combined:
        return known
    rng = np.random.default_rng([options.seed, SPLITS.index(split)])
    chosen = rng.permutation(len(known))[: max(2, options.num_videos(split))]
    return [known[index] for index in chosen]


def draw_timeline(rng: np.random.Generator, num_seconds: int, lengths: tuple[int, int], known: list[Deed],
              ) -> list[Segment]:
    """Fills the video with segments; neighbours differ. A video too short for two is one segment."""
    shortest, longest = lengths
    segments: list[Segment] = []
    start = 0
    while start < num_seconds:
        left = num_seconds - start
        fitting = [n for n in range(shortest, longest + 1) if n == left or left - n >= shortest]
        length = int(rng.choice(fitting)) if fitting else left
        fresh = [deed for deed in known if not segments or deed != segments[-1].deed]
        segments.append(Segment(start, start + length, fresh[rng.integers(len(fresh))]))
        start += length
    return segments


def beginning_with(deed: Deed, timeline: list[Segment], known: list[Deed]) -> list[Segment]:
    """The same timeline, but beginning with `deed`: all deeds are shifted alike, so neighbours still differ."""
    shift = known.index(deed) - known.index(timeline[0].deed)
    return [Segment(each.start, each.stop, known[(known.index(each.deed) + shift) % len(known)]) for each in timeline]


def draw_actor(rng: np.random.Generator, more: np.random.Generator, times: Floats, timeline: list[Segment],
           place: tuple[float, float], cells: float, options: WorldOptions) -> Actor:
    """Poses one actor over the whole video. cells: how far it moves in a clip, where the speed dial is on."""
    size = options.image_size
    height = rng.uniform(*options.height) * size
    shares = shares_of(timeline, times)  # (segments, T)
    phase = 2 * np.pi * times / rng.uniform(*options.period) + rng.uniform(0, 2 * np.pi)
    girth = rng.uniform(0.8, 1.3)
    actions = [ACTIONS[segment.deed[0]] for segment in timeline]
    capsules = sum(share[:, None, None, None] * pose(action, phase, girth)
                   for action, share in zip(actions, shares, strict=True)) * height
    rng.choice([-1, 1])  # not used any more; drawn so that the draws after it stay as they were
    right = height * sum(action.travel * share for action, share in zip(actions, shares, strict=True))
    down = np.zeros_like(times)
    if options.speed[1] > 0:
        right, down = heading(timeline, shares, times + more.uniform(0, 10)) * (cells * CELL * CLIPS_A_SECOND)
    across, facing = walk(rng, place[0] * size, right / options.fps, size)
    floor = climb(place[1] * size, more.choice([-1, 1]) * down / options.fps, size) if down.any() else place[1] * size
    capsules[..., 0] = capsules[..., 0] * facing[:, None, None] + across[:, None, None]
    capsules[..., 1] += np.reshape(floor, (-1, 1, 1))
    radii, colours = draw_looks(rng, height * girth)
    style = options.styles[int(more.integers(len(options.styles)))]
    accents = np.clip(colours + more.choice([-90, 90], 3), 0, 255)
    feet = np.stack([across, np.broadcast_to(floor, across.shape)], 1)
    return Actor(Body(capsules, radii, colours, accents, style), timeline, feet)


def heading(timeline: list[Segment], shares: Floats, times: Floats) -> Floats:
    """The pace to the right and down, (2, T), 1 on average."""
    return np.sum([share * np.stack(HEADINGS[segment.deed[1]](times))
                   for segment, share in zip(timeline, shares, strict=True)], axis=0)


def shares_of(timeline: list[Segment], times: Floats) -> Floats:
    """The share of each segment's action at each time, (segments, T), summing to one."""
    begun = [np.clip((times - segment.start) / SWITCH_SECONDS, 0, 1) for segment in timeline[1:]]
    steps = np.stack([np.ones_like(times), *begun, np.zeros_like(times)])
    return steps[:-1] - steps[1:]


def draw_looks(rng: np.random.Generator, height: float) -> tuple[Floats, Floats]:
    """Radii (10,) in pixels and colours (10, 3) of an actor's parts."""
    thick = rng.uniform(0.8, 1.25)
    radius = {"arm": 0.032 * thick, "leg": 0.042 * thick, "torso": 0.075 * thick, "head": 0.065}
    shirt, trousers, sleeve = rng.uniform(0, 255, (3, 3))
    skin = np.array([224, 180, 140]) * rng.uniform(0.35, 1.1)
    colour = {"arm": shirt if rng.random() < 0.5 else sleeve, "leg": trousers, "torso": shirt, "head": skin}
    shades = rng.uniform(0.85, 1.15, (len(PARTS), 1))
    radii = np.array([radius[part] for part in PARTS]) * height
    return radii, np.clip(np.stack([colour[part] for part in PARTS]) * shades, 0, 255)


def draw_layers(rng: np.random.Generator, times: Floats, actors: list[Actor], dials: Dials, options: WorldOptions,
            ) -> Layers:
    """Everything in the order of painting: half of the clutter, each actor and its board, the other half."""
    clutter = [draw_swinging(rng, times, options.image_size) for _ in range(dials.clutter)]
    layers: Layers = [(thing, None) for thing in clutter[::2]]
    for number, actor in enumerate(actors):
        layers.append((actor.body, number))
        if options.occlusion[1] > 0:
            layers.append((draw_board(rng, actor, dials.occlusion, options), None))
    return [*layers, *((thing, None) for thing in clutter[1::2])]


def draw_swinging(rng: np.random.Generator, times: Floats, size: int) -> Body:
    """Two jointed sticks that swing somewhere in the picture: they move like a limb, but belong to no actor."""
    joint = rng.uniform([0.05, 0.1], [0.95, 0.9])
    phase = 2 * np.pi * times / rng.uniform(0.8, 1.5) + rng.uniform(0, 2 * np.pi)
    points, angle = [np.broadcast_to(joint, (len(times), 2))], rng.uniform(0, 2 * np.pi)
    for swing, length in zip(rng.uniform(0.3, 1.5, 2), rng.uniform(0.07, 0.15, 2), strict=True):
        angle = angle + swing * np.sin(phase)
        points.append(points[-1] + length * np.stack([np.sin(angle), np.cos(angle)], -1))
    capsules = np.stack([np.stack(points[:2], 1), np.stack(points[1:], 1)], 1) * size  # (T, 2, 2, 2)
    colours = np.broadcast_to(rng.uniform(0, 255, 3), (2, 3))
    return Body(capsules, np.full(2, rng.uniform(0.012, 0.03) * size), colours, colours)


def draw_board(rng: np.random.Generator, actor: Actor, seconds: float, options: WorldOptions) -> Board:
    """A board that comes in from one side, hides the actor completely for a time, and leaves.

    seconds: how long it hides the actor; at least a frame and at most half the video.
    """
    size, num_frames = options.image_size, len(actor.feet)
    length = max(1, min(round(seconds * options.fps), num_frames // 2))
    start = int(rng.integers(0, num_frames - length + 1))
    low, high = actor.body.outline()
    during = slice(start, start + length)
    centre = np.round(actor.feet[:, 0]).astype(np.int64)
    reach = int(np.ceil(np.abs(np.stack([low, high])[:, during, 0] - centre[during]).max())) + 2
    top = int(np.clip(low[during, 1].min() - 2, 0, size - 1))
    bottom = int(np.clip(np.ceil(high[during, 1].max()) + 2, top + 1, size))
    frames = np.arange(num_frames)
    away = np.maximum(start - frames, 0) + np.maximum(frames - (start + length) + 1, 0)  # frames to or from its place
    step = max(1, round(BOARD_SPEED * size / options.fps)) * int(rng.choice([-1, 1]))
    picture = texture(rng, max(2 * reach, bottom - top))[: bottom - top, : 2 * reach]
    return Board(picture, centre - reach + np.where(away > 0, step * away, 0), top)
