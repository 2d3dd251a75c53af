"""Several endpoints from one run of I3D: each map, or its mean over time, row and column ("Mixed_5c.mean")."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stvr.backbones.i3d import ENDPOINTS, I3D, named_endpoint

MEAN = ".mean"


def named_cuts(text: str) -> list[str]:
    """`mixed_4c,Mixed_5c.mean` -> each as the menu spells it. LookupError for one that is unknown or named twice."""
    cuts = [named_endpoint(layer_of(cut)) + (MEAN if cut.endswith(MEAN) else "") for cut in text.split(",")]
    if len({*cuts}) < len(cuts):
        raise LookupError(f"{text!r} names an endpoint twice. Name each once.")
    return cuts


def layer_of(cut: str) -> str:
    return cut.removesuffix(MEAN)


def endpoint_of(layer: str) -> str:
    """The endpoint that one of I3D's layers in sequence ends at."""
    return "Logits" if layer == "logits" else layer


def deepest(cuts: Sequence[str]) -> str:
    return max(map(layer_of, cuts), key=ENDPOINTS.index)


class Taps(nn.Module):
    """network: I3D's layers in sequence up to the deepest cut. forward: a map (B, C, T', H', W') for every cut."""

    def __init__(self, network: nn.Sequential, cuts: Sequence[str]) -> None:
        super().__init__()
        self.network, self.cuts = network, tuple(cuts)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        maps: dict[str, Tensor] = {}
        endpoints = {layer_of(cut) for cut in self.cuts}
        for name, layer in self.network.named_children():
            x = layer(x)
            endpoint = endpoint_of(name)
            if endpoint in endpoints:
                maps[endpoint] = x
        return tuple(mean(maps[layer_of(cut)]) if cut.endswith(MEAN) else maps[cut] for cut in self.cuts)


def mean(maps: Tensor) -> Tensor:
    """(B, C, 1, 1, 1), summed in float32."""
    return maps.float().mean((2, 3, 4), keepdim=True)


def state_up_to(model: I3D, cut: str) -> dict[str, Tensor]:
    """The part of the model's state that a cut needs."""
    with torch.device("meta"):
        names = I3D(layer_of(cut), model.in_channels, model.num_classes).state_dict()
    state = model.state_dict()
    return {name: state[name] for name in names}
