"""A synthetic world as clips, features and tubelets without any files: needs only torch and numpy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stvr.structures import ClipSpec, Features, Span, Tubelet
from stvr.world.actions import ACTION_IDS
from stvr.world.options import WorldOptions
from stvr.world.scenes import Scene, build_scene

Label = tuple[int, ...]  # sorted ids of ACTION_IDS
Backbone = Callable[[Tensor], Tensor]  # clips (B, frame, S, S, 3) uint8 -> maps (B, time, row, column, channel)


@dataclass(frozen=True, slots=True)
class RenderedSpec:
    """What a reader of a store asks of its spec. endpoint: the name of the maps."""

    clip: ClipSpec
    endpoint: str = "rendered"
    flow: str = "none"
    flipped: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class RenderedFeatures:
    """Feature maps in memory, by video (clips, row, column, time, channel); read like a FeatureStore."""

    maps: Mapping[str, Tensor]
    spec: RenderedSpec
    how_to_add = "Render it too"

    def __contains__(self, video: object) -> bool:
        return video in self.maps

    def videos(self) -> list[str]:
        return sorted(self.maps)

    def num_clips(self, video: str) -> int:
        return len(self.maps[video])

    def read(self, span: Span, flipped: bool = False) -> Tensor:
        """(T, row, column, time, channel). LookupError for mirrored clips, and for clips that were not rendered."""
        if flipped:
            raise LookupError("mirrored frames were not rendered.")
        if span.video not in self.maps or span.stop > self.num_clips(span.video):
            raise LookupError(f"clips [{span.start}, {span.stop}) of {span.video!r} were not rendered.")
        return self.maps[span.video][span.start : span.stop]

    def read_features(self, span: Span, endpoints: Sequence[str] | None = None, flipped: bool = False) -> Features:
        """The same as heads read it, (T, row, column, time * channel) float32; there is one endpoint."""
        return Features({self.spec.endpoint: self.read(span, flipped).flatten(-2).float()})


def rendered_features(options: WorldOptions, backbone: Backbone, names: Sequence[str] | None = None, *,
                      clip: ClipSpec | None = None, batch_size: int = 8) -> RenderedFeatures:
    """The features of every clip of the named videos (None: of all), as float16 on the CPU."""
    clip = clip or ClipSpec(options.fps, 8, options.image_size)
    if clip.context != "clip":
        raise ValueError("rendered clips are seen by themselves. Write the world's videos and run "
                         "`stvr extract --context video` on them.")
    maps = {}
    for name in names if names is not None else options.names():
        parts = [backbone(torch.from_numpy(clips)) for clips in rendered_clips(build_scene(options, name), clip,
                                                                               batch_size)]
        maps[name] = torch.cat(parts).permute(0, 2, 3, 1, 4).to("cpu", torch.float16)
    return RenderedFeatures(maps, RenderedSpec(clip))


def rendered_clips(scene: Scene, clip: ClipSpec, batch_size: int = 8) -> Iterator[NDArray[np.uint8]]:
    """The clips of a scene in order, (B, frame, S, S, 3); frames at the end that do not fill a clip are left out."""
    check_cut(scene, clip)
    frames = clip.frames_per_clip
    for start in range(0, scene.num_frames // frames, batch_size):
        stop = min(start + batch_size, scene.num_frames // frames)
        pictures = scene.frames(start * frames, stop * frames)
        yield pictures.reshape(stop - start, frames, *pictures.shape[1:])


def tubelets(scene: Scene, video: str, clip: ClipSpec) -> list[tuple[Label, Tubelet]]:
    """A tubelet, with its label, for every segment in which an actor keeps to an action; actors in order."""
    check_cut(scene, clip)
    frames = clip.frames_per_clip
    middles = np.arange(scene.num_frames // frames) * frames + frames // 2
    boxes = torch.from_numpy(scene.boxes_at(middles)).float()  # (actors, clips, 4)
    found = []
    for actor, track in zip(scene.actors, boxes, strict=True):
        for segment in actor.timeline:
            inside = (middles >= segment.start * scene.options.fps) & (middles < segment.stop * scene.options.fps)
            clips = np.flatnonzero(inside).tolist()
            label = tuple(sorted(ACTION_IDS[name] for name in segment.labels))
            found.append((label, Tubelet(Span(video, clips[0], clips[-1] + 1), track[clips])))
    return found


def check_cut(scene: Scene, clip: ClipSpec) -> None:
    options = scene.options
    if (clip.fps, clip.image_size) != (options.fps, options.image_size):
        raise ValueError(f"wanted clips of {clip.fps} frames a second at {clip.image_size} px, got a world of "
                         f"{options.fps} at {options.image_size} px. Make the world like the clips: nothing is resized "
                         "here.")
