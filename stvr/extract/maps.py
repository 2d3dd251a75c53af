"""Frames become maps by endpoint: the one place where a backbone is asked, for a store and for a session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor

from stvr.backbones.context import ContextStream
from stvr.backbones.runtimes import instruction_set
from stvr.store import as_stored
from stvr.structures import ClipSpec, FeatureSpec, MapSpec
from stvr.video.reading import Clip, as_fed

Maps = dict[str, Tensor]  # by endpoint
MapShapes = dict[str, tuple[int, ...]]


class Backbone(Protocol):
    """Turns clips (B, frame, S, S, 3) uint8 into feature maps (B, time, row, column, channel)."""

    @property
    def name(self) -> str: ...
    @property
    def weights(self) -> str: ...
    @property
    def weights_digest(self) -> str: ...
    @property
    def endpoint(self) -> str: ...
    @property
    def precision(self) -> str: ...
    def map_specs(self, clip: ClipSpec, /) -> tuple[MapSpec, ...]: ...
    def __call__(self, frames: Tensor, /) -> Tensor: ...


class SeveralMaps(Protocol):
    """A backbone whose `endpoint` names several, with commas between them."""

    def maps(self, frames: Tensor, /) -> tuple[Tensor, ...]: ...


@torch.inference_mode()
def maps_by_endpoint(backbone: Backbone, frames: Tensor) -> Maps:
    """Clips as they are fed (N, F, S, S, 3) uint8 -> each endpoint's maps as a store keeps them, on the CPU.

    (N, row, column, time, channel) float16. ValueError where they are not finite.
    """
    return as_kept(backbone, raw_maps(backbone, frames))


def raw_maps(backbone: Backbone, frames: Tensor) -> Maps:
    """Each endpoint's maps as the backbone gives them, where it runs."""
    endpoints = backbone.endpoint.split(",")
    several = (backbone(frames),) if len(endpoints) == 1 else cast(SeveralMaps, backbone).maps(frames)
    return dict(zip(endpoints, several, strict=True))


def kept_form(maps: Maps) -> Maps:
    """Raw maps in a store's order of axes and in float16, still where the backbone runs."""
    return {name: as_stored(each).to(torch.float16) for name, each in maps.items()}


def as_kept(backbone: Backbone, maps: Maps) -> Maps:
    maps = kept_form(maps)
    if not getattr(backbone, "checks_finite", False) and not all(each.isfinite().all() for each in maps.values()):
        raise ValueError(f"{backbone.name} gave features that are not finite in float16.")
    return {name: each.cpu() for name, each in maps.items()}


def map_shapes(backbone: Backbone, clip: ClipSpec) -> MapShapes:
    """Endpoint -> (row, column, time, channel) of a clip's maps: of black clips, for a backbone that does not say."""
    known: MapShapes | None = getattr(backbone, "shapes", None)
    if known is not None:
        return known
    black = torch.zeros(2, clip.frames_per_clip, clip.image_size, clip.image_size, 3, dtype=torch.uint8)
    return {name: tuple(each.shape[1:]) for name, each in maps_by_endpoint(backbone, black).items()}


def runs_on_gpu(backbone: Backbone) -> bool:
    return str(getattr(backbone, "device", "cpu")).startswith("cuda")


def processor_of(backbone: Backbone) -> str:
    """What decides the last bits of its sums, as `instruction_set` names it."""
    known: str | None = getattr(backbone, "processor", None)  # of the process that runs it
    return known or instruction_set(getattr(backbone, "device", "cpu"))


def stream_of(backbone: Backbone, clip: ClipSpec) -> ContextStream:
    """A run along a video, as `stvr.backbones.Backbone.stream` begins it. LookupError for what has none."""
    if not hasattr(backbone, "stream"):
        raise LookupError(f"{backbone.name} sees every clip by itself, so there is no context for it. "
                          "Give --context clip.")
    stream: ContextStream = backbone.stream(clip)
    return stream


def along(backbone: Backbone, spec: FeatureSpec, flipped: bool = False) -> Callable[[Sequence[Clip], bool], list[Maps]]:
    """Begins a run along a video: the next clips, whether they are the last -> the maps of the clips ready, each.

    Maps as a store keeps them, (row, column, time, channel) float16 on the CPU.
    """
    stream = stream_of(backbone, spec.clip)

    def push(clips: Sequence[Clip], last: bool) -> list[Maps]:
        frames = as_fed(np.stack([clip.frames for clip in clips]), spec, flipped)
        maps = as_kept(backbone, stream.push(frames, last))
        return [dict(zip(maps, each, strict=True)) for each in zip(*maps.values(), strict=True)]

    return push
