"""One video of the synthetic world: its frames, masks and boxes, drawn on demand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stvr.world.options import CLIPS_A_SECOND, SPLITS, WorldOptions
from stvr.world.painting import Floats, Masks, extents, pan
from stvr.world.staging import (
    Actor,
    Dials,
    Layers,
    background,
    beginning_with,
    draw_actor,
    draw_layers,
    draw_timeline,
    vocabulary,
)
from stvr.world.things import Moments

CHUNK = 24  # frames marked at once; bounds memory


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One video, drawn on demand. Layers are painted in order; the layer of an actor carries the actor's number."""

    options: WorldOptions
    num_frames: int
    dials: Dials
    actors: list[Actor]
    layers: Layers
    picture: NDArray[np.float32]
    corners: Floats

    def frames(self, start: int = 0, stop: int | None = None) -> NDArray[np.uint8]:
        """The frames [start, stop), (T, S, S, 3) RGB; the same whichever others are drawn with them."""
        return self.frames_at(slice(start, self.num_frames if stop is None else stop))

    def frames_at(self, moments: Moments) -> NDArray[np.uint8]:
        canvas = pan(self.picture, self.corners[moments], self.options.image_size)
        for thing, _ in self.layers:
            thing.paint(canvas, moments)
        return np.clip(canvas, 0, 255).astype(np.uint8)

    def masks(self, start: int = 0, stop: int | None = None) -> tuple[Masks, Masks]:
        """The pixels of each actor, (actors, T, S, S) twice: the visible ones, and all of them (amodal)."""
        return self.masks_at(slice(start, self.num_frames if stop is None else stop))

    def masks_at(self, moments: Moments) -> tuple[Masks, Masks]:
        shape = (len(self.actors), len(self.corners[moments]), *[self.options.image_size] * 2)
        visible, amodal = np.zeros(shape, bool), np.zeros(shape, bool)
        for thing, owner in self.layers:
            covered = np.zeros(shape[1:], bool)
            thing.mark(covered, moments)
            visible &= ~covered
            if owner is not None:
                visible[owner], amodal[owner] = covered, covered
        return visible, amodal

    def outlines(self) -> Floats:
        """Boxes (actors, T, 4) xyxy in [0, 1] of the actors' outlines before they are painted, clipped."""
        boxes = [np.concatenate(actor.body.outline(), 1) for actor in self.actors]
        return np.clip(np.stack(boxes) / self.options.image_size, 0, 1)

    def boxes_at(self, moments: NDArray[np.int64]) -> Floats:
        """Boxes (actors, n, 4) xyxy in [0, 1], as the options say."""
        return self.observe(moments)[0] if self.options.exact_boxes else self.outlines()[:, moments]

    def observe(self, moments: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """The exact boxes (actors, n, 4) in [0, 1], and which share of each actor is visible (actors, n)."""
        boxes, shares = [], []
        for part in np.array_split(moments, -(-len(moments) // CHUNK)):
            visible, amodal = self.masks_at(part)
            boxes.append(extents(amodal) / self.options.image_size)
            shares.append(visible.sum((2, 3)) / np.maximum(amodal.sum((2, 3)), 1))
        return np.concatenate(boxes, 1), np.concatenate(shares, 1)

    def clip_moments(self) -> NDArray[np.int64]:
        """The frame in the middle of each third of a second, which is a clip of `ClipSpec()`."""
        thirds = np.arange(self.num_frames * CLIPS_A_SECOND // self.options.fps)
        return (2 * thirds + 1) * self.options.fps // (2 * CLIPS_A_SECOND)


def build_scene(options: WorldOptions, name: str) -> Scene:
    """The video called `name`, "train_0003" say. It depends only on the options it draws from, its split and number."""
    split, index = parsed(name)
    rng = np.random.default_rng([options.seed, SPLITS.index(split), index])
    more = np.random.default_rng([options.seed, SPLITS.index(split), index, 1])  # draws here do not shift those of rng
    dials = Dials(more.uniform(*options.speed), more.uniform(*options.occlusion),
                  int(more.integers(options.clutter[0], options.clutter[1] + 1)))
    num_seconds = int(rng.integers(options.seconds[0], options.seconds[1] + 1))
    times = np.arange(num_seconds * options.fps) / options.fps
    picture, corners = background(rng, options, times)
    num_actors = int(rng.integers(options.actors[0], options.actors[1] + 1))
    places = (rng.permutation(num_actors) + 0.5) / num_actors  # across the picture
    depths = np.sort(rng.uniform(0.80, 0.97, num_actors))  # of the floor under the feet; the nearest is painted last
    known = vocabulary(options, split)
    actors = []
    for number, place in enumerate(zip(places, depths, strict=True)):
        timeline = draw_timeline(rng, num_seconds, options.segment_seconds, known)
        if options.combined:  # dealt out, so that every label is in two videos at least
            timeline = beginning_with(known[(index + number) % len(known)], timeline, known)
        actors.append(draw_actor(rng, more, times, timeline, place, dials.speed, options))
    layers = draw_layers(more, times, actors, dials, options)
    return Scene(options, len(times), dials, actors, layers, picture, corners)


def parsed(name: str) -> tuple[str, int]:
    """ "train_0003" -> ("train", 3). LookupError for anything that is not the name of a video."""
    split, _, index = name.partition("_")
    if split not in SPLITS or not index.isdecimal():
        raise LookupError(f"no video of a world is called {name!r}. Names look like train_0003.")
    return split, int(index)
