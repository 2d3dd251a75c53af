"""torchvision's image networks as backbones, frame by frame. The menu is IMAGE_BACKBONES."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from stvr.backbones.backbone import Loaded

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's colours; torchvision's weights need them
TIME_STEPS = 2  # in a clip, as in I3D's Mixed_4c
POOLED = ".mean"  # behind an endpoint

IMAGE_BACKBONES = {  # where each is cut by default: the last map with a cell for 16 x 16 pixels
    **dict.fromkeys(("resnet18", "resnet34", "resnet50", "resnet101", "resnext50_32x4d", "wide_resnet50_2"), "layer3"),
    **dict.fromkeys(("convnext_tiny", "convnext_small", "convnext_base"), "features.5"),
    "mobilenet_v3_large": "features.12", "efficientnet_b0": "features.5", "regnet_y_800mf": "trunk_output.block3",
    "squeezenet1_1": "features.12",  # the last of all; without padding, so a cell or two fewer than the others
}  # fmt: skip


class ByFrame(nn.Module):
    """Clips (B, T, H, W, 3) uint8 -> (B, C, 2, h, w): the mean over the frames of each half of a clip.

    pooled: the mean over the picture, too: (B, C, 2, 1, 1).
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: nn.Module, pooled: bool = False) -> None:
        super().__init__()
        self.network, self.pooled = network, pooled
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        pictures = frames.flatten(0, 1).movedim(-1, 1).to(self.mean.dtype) / 255
        maps = self.network((pictures - self.mean) / self.deviation)["map"]  # (B T, C, h, w)
        maps = maps.mean((2, 3), keepdim=True) if self.pooled else maps
        halves = maps.unflatten(0, (len(frames), -1)).tensor_split(TIME_STEPS, 1)
        return torch.stack([half.mean(1) for half in halves], 2)


def load_image_network(name: str, weights: Path | None, endpoint: str | None) -> Loaded:
    """A network that takes uint8 frames, its endpoint, and the digest of its weights.

    endpoint: a node of the network as torchvision's `get_graph_node_names` lists them, with ".mean" behind it for the
    mean over the picture. LookupError when there is none.
    """
    from torchvision.models import get_model
    from torchvision.models.feature_extraction import create_feature_extractor

    from stvr.backbones.weights.load import digest, read_state  # like torchvision, takes seconds to import

    if weights is None:
        raise LookupError(f"{name} has no weights of its own. Give torchvision's with --weights FILE.")
    endpoint = endpoint or IMAGE_BACKBONES[name]
    node = endpoint.removesuffix(POOLED)
    whole = get_model(name, weights=None)
    try:
        cut = create_feature_extractor(whole.eval(), {node: "map"}).eval()
    except ValueError:
        raise LookupError(f"{name} has no node {node!r}. "
                          f"Choose one of {', '.join(dict(whole.named_children()))} or a layer in them.") from None
    fill(cut, whole, read_state(weights), str(weights))
    network = ByFrame(cut.requires_grad_(False), node != endpoint).to(memory_format=torch.channels_last)
    return Loaded(network.eval(), endpoint, digest(cut.state_dict()))


def fill(cut: nn.Module, whole: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Fills the part of a network that is used from a state of the whole; batch counters may be absent.

    ValueError, which names the source, for weights of another network.
    """
    from stvr.backbones.weights.load import COUNTER, listed

    used, known = cut.state_dict(), whole.state_dict()
    missing = [name for name in used if name not in state and not name.endswith(COUNTER)]
    extra = [name for name in state if name not in known]
    reshaped = [name for name in used if name in state and state[name].shape != used[name].shape]
    if missing or extra or reshaped:
        misfits = {"missing": missing, "left over": extra, "of another shape": reshaped}
        details = "; ".join(f"{len(names)} {kind}: {listed(names)}" for kind, names in misfits.items() if names)
        raise ValueError(f"{source}: wanted the weights of this network, got {details}. Give its own file.")
    cut.load_state_dict({name: state[name] if name in state else torch.zeros_like(used[name]) for name in used})
