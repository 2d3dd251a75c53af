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
from stvr.backbones.weights.load import digest, read_state
from stvr.kernels.warp import dense_warp
from stvr.store import FeatureSpec

SIDE = 80  # of the pictures that ilk and tvl1 look at: a map has 20 cells a side, and time grows with the area
RAFT_SIDE = 128  # at least: RAFT halves its pictures seven times
GREY = (0.299, 0.587, 0.114)  # of R, G, B: ITU-R BT.601


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """Where things were at the end of the clip before.

    spec: what the store notes about it, in words. side: of the square pictures it looks at. library: what computes it.
    back: pictures (N + 1, 3, side, side) in [0, 1] -> (N, side, side, 2), how far each pixel of picture k + 1 has moved
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

        (y, x) in cells: the map of the clip before, read at (y, x) - flow, looks like the last frame of this clip
        (`stvr.kernels.warp.dense_warp`). For a first clip (None): how far things moved since its own first frame.
        """
        shown = frames if before is None else np.concatenate([before[None], frames])
        pictures = F.interpolate(torch.from_numpy(shown).movedim(-1, 1) / 255, (self.side, self.side), mode="area")
        cells = F.adaptive_avg_pool2d(accumulated(self.back(pictures)).permute(2, 0, 1), grid)  # (2, *grid)
        per_pixel = cells.new_tensor(grid) / self.side  # 20 cells of 320 pixels: the paper's 1/16
        return (cells.permute(1, 2, 0) * per_pixel).half().numpy()


def accumulated(steps: Tensor) -> Tensor:
    """Flows from frame to frame (N, H, W, 2) -> from before the first to after the last (H, W, 2), followed backwards.

    The path of a pixel of the last frame: where it was in the frame before, then where that place was, and so on.
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
    """A method of scikit-image, run on each pair of pictures."""
    try:
        from skimage import registration
    except ImportError:
        raise LookupError(f"--flow {name} needs scikit-image, which is not installed. Run `pip install 'stvr[flow]'`, "
                          "or give --flow raft with --flow-weights FILE.") from None
    side = min(SIDE, image_size)
    method = partial(getattr(registration, function), **settings)
    return Flow(f"{name} at {side} px", side, "scikit-image", partial(back_on_grey, method))


def back_on_grey(method: Callable[..., NDArray[Any]], pictures: Tensor) -> Tensor:
    grey = torch.einsum("nchw,c->nhw", pictures, pictures.new_tensor(GREY)).numpy()
    origins = [method(later, earlier) for earlier, later in pairwise(grey)]  # of each pixel, relative to it
    return -torch.from_numpy(np.stack(origins).astype(np.float32)).movedim(1, -1)


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
        origins: Tensor = network(scaled[1:], scaled[:-1])[-1]  # (N, 2, side, side), (x, y)
    return -origins.flip(1).movedim(1, -1).float().cpu()


def raft_of(state: Mapping[str, Tensor], path: Path) -> nn.Module:
    """raft_small or raft_large, whichever the weights fit."""
    from torchvision.models.optical_flow import raft_large, raft_small

    for build in (raft_small, raft_large):
        network: nn.Module = build(weights=None, progress=False)
        shapes = {name: value.shape for name, value in network.state_dict().items()}
        if shapes == {name: value.shape for name, value in state.items()}:
            network.load_state_dict(dict(state))
            return network
    raise ValueError(f"{path}: wanted the weights of torchvision's raft_small or raft_large, got {len(state)} tensors "
                     "with other names or shapes. Save `model.state_dict()` of one of the two.")


def refuse_weights(name: str, weights: Path | None) -> None:
    if weights is not None:
        raise ValueError(f"--flow {name} takes no weights. Leave --flow-weights out, or give --flow raft.")


FLOWS: dict[str, Callable[[int, Path | None, str], Flow]] = {"ilk": load_ilk, "tvl1": load_tvl1, "raft": load_raft}


def load_flow(name: str, image_size: int, weights: Path | None = None, device: str = "cpu") -> Flow | None:
    """The flow called `name`, for frames of `image_size`; None for "none". weights: for raft only.

    LookupError lists the menu, or says what to install; ValueError when weights are missing or do not fit.
    """
    if name == "none":
        if weights is not None:
            raise ValueError("--flow-weights is for --flow raft. Give both, or neither.")
        return None
    if name not in FLOWS:
        raise LookupError(f"there is no optical flow {name!r}. Choose one of none, {', '.join(FLOWS)}.")
    return FLOWS[name](image_size, weights, device)


def flow_of(spec: FeatureSpec, weights: Path | None = None, device: str = "cpu") -> Flow | None:
    """The flow of a store with this spec; ValueError when the same flow cannot be computed with these weights."""
    name = spec.flow.split(" ")[0].split(":")[0]
    flow = load_flow(name, spec.clip.image_size, weights, device)
    if flow is not None and flow.spec != spec.flow:
        raise ValueError(f"wanted the flow {spec.flow!r}, got {flow.spec!r}. "
                         "Give the weights that made the first with --flow-weights.")
    return flow
