"""Optical flow over a clip, on the grid of the feature map: the only file that knows scikit-image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from stvr.backbones.onednn import AlwaysOneDNN
from stvr.backbones.weights import digest, read_state
from stvr.kernels.warp import dense_warp
from stvr.store import FeatureSpec

SIDE = 80  # of the pictures that ilk and tvl1 look at: a map has 20 cells a side, and time grows with the area
RAFT_SIDE = 128  # at least: RAFT halves its pictures seven times
GREY = (0.299, 0.587, 0.114)  # of R, G, B: ITU-R BT.601


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """Where things were at the end of the clip before.

    spec: what it is, in words, for the store. side: of the square pictures it looks at. library: what computes it.
    back: pictures (N + 1, 3, side, side) in [0, 1] -> (N, side, side, 2), how far each pixel of picture k + 1 came
    since picture k, (y, x) in pixels.
    """

    spec: str
    side: int
    library: str
    back: Callable[[Tensor], Tensor]

    @torch.inference_mode()
    def __call__(
        self, before: NDArray[np.uint8] | None, frames: NDArray[np.uint8], grid: tuple[int, int]
    ) -> NDArray[np.float16]:
        """frames (F, S, S, 3) RGB of a clip, `before` (S, S, 3) the last frame of the clip before -> (*grid, 2).

        (y, x) in cells: the map of the clip before, read at (y, x) - flow, is as the last frame has it
        (`stvr.kernels.warp.dense_warp`). A first clip (None) tells how far things came since its own first frame.
        """
        shown = frames if before is None else np.concatenate([before[None], frames])
        pictures = F.interpolate(torch.from_numpy(shown).movedim(-1, 1) / 255, (self.side, self.side), mode="area")
        cells = F.adaptive_avg_pool2d(accumulated(self.back(pictures)).permute(2, 0, 1), grid)  # (2, *grid)
        per_pixel = cells.new_tensor(grid) / self.side  # 20 cells of 320 pixels: the paper's 1/16
        return (cells.permute(1, 2, 0) * per_pixel).half().numpy()


def accumulated(steps: Tensor) -> Tensor:
    """Flows from frame to frame (N, H, W, 2) -> from before the first to after the last (H, W, 2), followed backwards.

    The way of a pixel of the last frame: where it was in the frame before, then where that place was, and so on.
    """
    total = torch.zeros_like(steps[:1])
    for step in steps.flip(0).split(1):
        total = total + dense_warp(step.permute(0, 3, 1, 2), total).permute(0, 2, 3, 1)
    return total[0]


def load_ilk(image_size: int, weights: Path | None, device: str) -> Flow:
    """Iterative Lucas-Kanade (Le Besnerais and Champagnat 2005)."""
    refuse_weights("ilk", weights)
    return on_grey("ilk", image_size, "optical_flow_ilk", radius=3, num_warp=3)


def load_tvl1(image_size: int, weights: Path | None, device: str) -> Flow:
    """Total variation and L1 (Zach, Pock and Bischof 2007)."""
    refuse_weights("tvl1", weights)
    return on_grey("tvl1", image_size, "optical_flow_tvl1", num_warp=3, num_iter=5)


def on_grey(name: str, image_size: int, function: str, **settings: Any) -> Flow:
    """A method of scikit-image, picture pair by picture pair."""
    try:
        from skimage import registration
    except ImportError:
        raise LookupError(f"--flow {name} needs scikit-image, which is not here. Run `pip install 'stvr[flow]'`, "
                          "or give --flow raft with --flow-weights FILE.") from None
    side = min(SIDE, image_size)
    method = partial(getattr(registration, function), **settings)
    return Flow(f"{name} at {side} px", side, "scikit-image", partial(back_on_grey, method))


def back_on_grey(method: Callable[..., NDArray[Any]], pictures: Tensor) -> Tensor:
    grey = torch.einsum("nchw,c->nhw", pictures, pictures.new_tensor(GREY)).numpy()
    came_from = [method(later, earlier) for earlier, later in pairwise(grey)]
    return -torch.from_numpy(np.stack(came_from).astype(np.float32)).movedim(1, -1)


def load_raft(image_size: int, weights: Path | None, device: str) -> Flow:
    """RAFT (Teed and Deng 2020) as torchvision builds it, small or large as the weights are."""
    if weights is None:
        raise ValueError("--flow raft needs its trained weights. Give torchvision's raft_small or raft_large file with "
                         "--flow-weights FILE, or choose --flow ilk, which needs none.")
    network = raft_of(read_state(weights), weights).eval().to(device)
    side = max(RAFT_SIDE, image_size // 8 * 8)
    back = partial(back_by_raft, network, device)
    return Flow(f"raft:{digest(network.state_dict())} at {side} px", side, "torchvision", back)


def back_by_raft(network: nn.Module, device: str, pictures: Tensor) -> Tensor:
    scaled = (pictures * 2 - 1).to(device)
    with AlwaysOneDNN():
        came_from: Tensor = network(scaled[1:], scaled[:-1])[-1]  # (N, 2, side, side), (x, y)
    return -came_from.flip(1).movedim(1, -1).float().cpu()


def raft_of(state: Mapping[str, Tensor], path: Path) -> nn.Module:
    """raft_small or raft_large, whichever the weights fit."""
    from torchvision.models.optical_flow import raft_large, raft_small

    for build in (raft_small, raft_large):
        network: nn.Module = build(weights=None, progress=False)
        wanted = {name: value.shape for name, value in network.state_dict().items()}
        if wanted == {name: value.shape for name, value in state.items()}:
            network.load_state_dict(dict(state))
            return network
    raise ValueError(f"{path}: wanted the weights of torchvision's raft_small or raft_large, came {len(state)} tensors "
                     "of other names or shapes. Save `model.state_dict()` of one of the two.")


def refuse_weights(name: str, weights: Path | None) -> None:
    if weights is not None:
        raise ValueError(f"--flow {name} reads no weights. Leave --flow-weights out, or give --flow raft.")


FLOWS: dict[str, Callable[[int, Path | None, str], Flow]] = {"ilk": load_ilk, "tvl1": load_tvl1, "raft": load_raft}


def load_flow(name: str, image_size: int, weights: Path | None = None, device: str = "cpu") -> Flow | None:
    """The flow called `name`, of frames of `image_size`; None for "none". weights: of raft alone.

    LookupError lists the menu, or says what to install; ValueError when weights are missing or do not fit.
    """
    if name == "none":
        if weights is not None:
            raise ValueError("--flow-weights is for --flow raft. Give both, or neither.")
        return None
    if name not in FLOWS:
        raise LookupError(f"{name!r} is no optical flow. The menu is: none, {', '.join(FLOWS)}.")
    return FLOWS[name](image_size, weights, device)


def flow_of(spec: FeatureSpec, weights: Path | None = None, device: str = "cpu") -> Flow | None:
    """The flow that a store of this spec has; ValueError where it cannot be computed here as it was there."""
    name = spec.flow.split(" ")[0].split(":")[0]
    flow = load_flow(name, spec.clip.image_size, weights, device)
    if flow is not None and flow.spec != spec.flow:
        raise ValueError(f"the flow wanted is {spec.flow!r}, but this is {flow.spec!r}. "
                         "Give the weights that were used then with --flow-weights.")
    return flow
