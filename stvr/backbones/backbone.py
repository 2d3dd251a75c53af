"""What every backbone is: a network of decoded frames, and what a store of its features must say about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from stvr.backbones.context import ContextStream
from stvr.structures import ClipSpec, MapSpec

PROBE_SIDES = (32, 64)  # of the black pictures that show how large a cell is


class Loaded(NamedTuple):
    """What an entry of the menu gives for (weights, endpoint).

    network: clips (B, T, H, W, 3) uint8 -> maps (B, C, time, row, column), a tuple of them for several endpoints.
    endpoint: where it is cut; weights_digest: of the weights used up to there. Both separated by commas for several.
    """

    network: nn.Module
    endpoint: str
    weights_digest: str


@dataclass(frozen=True, slots=True, eq=False)
class Backbone:
    """A network ready for inference, and what a store of its features must say about it.

    weights: the file's name, or "analytic"; weights_digest: "sha256:...", equal for equal weights in any file format.
    precision: what the network computes in, "float32" or "bfloat16", with the runtime where that is not plain torch
    ("bfloat16 by openvino"), because the last bits differ. With several endpoints, `endpoint` and `weights_digest`
    name each, separated by commas. network: clips (B, T, H, W, 3) uint8 -> maps (B, C, time, row, column). plain: the
    same network run by torch, whatever the runtime.
    """

    name: str
    weights: str
    weights_digest: str
    endpoint: str
    precision: str
    network: nn.Module
    device: torch.device
    plain: nn.Module

    @torch.inference_mode()
    def __call__(self, frames: Tensor) -> Tensor:
        """Clips (B, T, H, W, 3) uint8, RGB -> features (B, time, row, column, channel), floats of 2 or 4 bytes.

        8 x 320 x 320 at Mixed_4c gives (B, 2, 20, 20, 512). Logits are a map too; their mean over time, row and column
        is the logits of the clip. On a CPU clips go in pairs, or all together to a runtime that
        shares them out itself.
        """
        (features,) = self.maps(frames)
        return features

    @torch.inference_mode()
    def maps(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Like calling the backbone, but with one map for each endpoint that `endpoint` names, separated by commas."""
        if frames.ndim != 5 or frames.shape[-1] != 3 or frames.dtype != torch.uint8 or not len(frames):
            raise ValueError(f"wanted clips (B, T, H, W, 3) of uint8, got {tuple(frames.shape)} of {frames.dtype}. "
                             "Give RGB frames as they were decoded.")
        if self.device.type == "cuda":
            parts = [frames.pin_memory().to(self.device, non_blocking=True)]
        else:
            at_once = getattr(self.network, "clips_at_once", 2) or len(frames)
            few = frames.tensor_split(max(len(frames) // at_once, 1))  # of an odd number in pairs, one has three
            parts = [clips.to(self.device) for clips in few]
        outputs = [self.network(clips) for clips in parts]
        if isinstance(outputs[0], Tensor):
            return (torch.cat(outputs).movedim(1, -1),)
        return tuple(torch.cat(each).movedim(1, -1) for each in zip(*outputs, strict=True))

    def stream(self, clip: ClipSpec) -> ContextStream:
        """A run along one video, whose clips see what comes before and after them: for `ClipSpec.context` "video".

        LookupError for a network that has no such form, or a runtime other than torch; ValueError for clips that have
        no whole number of the network's time steps.
        """
        if not hasattr(self.plain, "stream"):
            raise LookupError(f"{self.name} sees every clip by itself, so there is no context for it. "
                              "Give --context clip, or --backbone i3d.")
        if " by " in self.precision:
            raise LookupError(f"the context of a video needs the runtime torch, not {self.precision.split()[-1]}. "
                              "Give --context clip, or --runtime torch.")
        stream: ContextStream = cast(Any, self.plain).stream(self.endpoint.split(","), clip.frames_per_clip)
        return stream

    @torch.inference_mode()
    def map_specs(self, clip: ClipSpec) -> tuple[MapSpec, ...]:
        """What the map of each endpoint is, for clips cut as `clip` says."""
        black = (torch.zeros(1, clip.frames_per_clip, side, side, 3, dtype=torch.uint8, device=self.device)
                 for side in PROBE_SIDES)
        small, large = (as_several(self.plain(clips)) for clips in black)
        return tuple(map_spec(name, maps, larger, clip.image_size)
                     for name, maps, larger in zip(self.endpoint.split(","), small, large, strict=True))


def as_several(maps: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (maps,) if isinstance(maps, Tensor) else maps


def map_spec(endpoint: str, small: Tensor, large: Tensor, image_size: int) -> MapSpec:
    """Maps (1, C, time, row, column) of pictures of the two PROBE_SIDES. A pooled map has a single cell for both."""
    _, channels, steps, rows, _ = small.shape
    more = large.shape[3] - rows
    return MapSpec(endpoint, (PROBE_SIDES[1] - PROBE_SIDES[0]) // more if more else image_size, steps, channels)
