"""I3D ready for inference: weights loaded, batch norm folded away, cut where features are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from stvr.backbones.analytic import analytic_state
from stvr.backbones.backbone import Loaded
from stvr.backbones.context import ContextStream
from stvr.backbones.fold import fold
from stvr.backbones.i3d import I3D, scale
from stvr.backbones.taps import Taps, deepest, named_cuts, state_up_to


class FromFrames(nn.Module):
    """A video network as a function of decoded frames (B, T, H, W, 3) uint8."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor) -> Any:
        return self.network(scale(frames).to(next(self.network.parameters()).dtype))


class FoldedI3D(FromFrames):
    """I3D folded, which can also be run along a video."""

    def stream(self, cuts: Sequence[str], frames_per_clip: int) -> ContextStream:
        network = self.network.network if isinstance(self.network, Taps) else self.network
        return ContextStream(cast(nn.Sequential, network), cuts, frames_per_clip)


def load_i3d(weights: Path | None, endpoint: str | None) -> Loaded:
    """I3D folded for inference, its endpoints as the menu spells them, the digest of the weights that each uses."""
    from stvr.backbones.weights.load import (  # imports readers of files, which building a network does not need
        digest,
        load_state,
        read_state,
        sizes,
    )

    cuts = named_cuts(endpoint or "Mixed_4c")
    if weights is None:
        model = I3D(deepest(cuts))
        load_state(model, analytic_state(model), "analytic")
    else:
        state = read_state(weights)
        model = I3D(deepest(cuts), num_classes=sizes(state)[1])
        load_state(model, state, str(weights))
    network = fold(model) if cuts == [model.endpoint] else Taps(fold(model), cuts)
    digests = ",".join(digest(state_up_to(model, cut)) for cut in cuts)
    return Loaded(FoldedI3D(network), ",".join(cuts), digests)
