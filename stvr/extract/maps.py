"""Frames become maps by endpoint: the one place where a backbone is asked, for a store and for a session."""

from __future__ import annotations

from typing import Protocol, cast

import torch
from torch import Tensor

from stvr.store import as_stored
from stvr.structures import ClipSpec, MapSpec


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
def maps_by_endpoint(backbone: Backbone, frames: Tensor) -> dict[str, Tensor]:
    """Clips as they are fed (N, F, S, S, 3) uint8 -> each endpoint's maps as a store keeps them, on the CPU.

    (N, row, column, time, channel) float16. ValueError where they are not finite.
    """
    endpoints = backbone.endpoint.split(",")
    several = (backbone(frames),) if len(endpoints) == 1 else cast(SeveralMaps, backbone).maps(frames)
    maps = {name: as_stored(each).to("cpu", torch.float16) for name, each in zip(endpoints, several, strict=True)}
    if not all(each.isfinite().all() for each in maps.values()):
        raise ValueError(f"{backbone.name} gave features that are not finite in float16.")
    return maps
