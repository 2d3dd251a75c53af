"""torchvision's video networks as backbones, whole clips at a time. The menu is VIDEO_BACKBONES."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from stvr.backbones.backbone import Loaded
from stvr.backbones.image import DEVIATION, MEAN, fill

Colours = tuple[float, float, float]
KINETICS_MEAN, KINETICS_DEVIATION = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)
NOT_MAPS = ("pos_drop", "conv_proj", "pos_encoding", "norm", "avgpool", "classifier", "fc", "head")  # of torchvision's


class ChannelsLast(nn.Sequential):
    """Swin: pictures (B, 3, T, H, W) -> maps (B, C, time, row, column); its layers put the channels last."""

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = super().forward(x)
        return maps.movedim(-1, 1)


class Tokens(nn.Sequential):
    """MViT: pictures (B, 3, T, H, W) -> maps (B, C, time, row, column), from tokens, a class token the first of them.

    torchvision's own forward takes 16 x 224 x 224 pixels alone, because it tells the first block that size. The
    positions are relative, and each block stretches its table to the size it is told, as the authors' program does.
    """

    conv_proj: nn.Conv3d
    pos_encoding: nn.Module
    blocks: nn.ModuleList

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_proj(x)
        sizes = (x.shape[2], x.shape[3], x.shape[4])
        x = self.pos_encoding(x.flatten(2).mT)  # (B, 1 + time row column, C)
        for block in self.blocks:
            x, sizes = block(x, sizes)
        return x[:, 1:].mT.unflatten(2, sizes)


@dataclass(frozen=True, slots=True)
class VideoNetwork:
    """endpoint: where it is cut by default. kind: how its layers are run. The colours are those of its weights."""

    endpoint: str
    kind: Callable[[OrderedDict[str, nn.Module]], nn.Module] = nn.Sequential
    mean: Colours = KINETICS_MEAN
    deviation: Colours = KINETICS_DEVIATION


VIDEO_BACKBONES = {  # cut by default at the last map with a cell for 16 x 16 pixels; behind it, frames a time step
    "s3d": VideoNetwork("features.12"),  # 4
    "r3d_18": VideoNetwork("layer4"),  # 8
    "mc3_18": VideoNetwork("layer4"),  # 1
    "r2plus1d_18": VideoNetwork("layer4"),  # 8
    "swin3d_t": VideoNetwork("features.4", ChannelsLast, MEAN, DEVIATION),  # 2
    "mvit_v2_s": VideoNetwork("blocks.13", Tokens, (0.45, 0.45, 0.45), (0.225, 0.225, 0.225)),  # 2
}


class OfClips(nn.Module):
    """Clips (B, T, H, W, 3) uint8 -> maps (B, C, time, row, column) of `network`, its colours normalised."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: nn.Module, mean: Colours, deviation: Colours) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation).view(1, 3, 1, 1, 1), persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        pictures = frames.movedim(-1, 1).to(self.mean.dtype) / 255
        maps: Tensor = self.network((pictures - self.mean) / self.deviation)
        return maps


def load_video_network(name: str, weights: Path | None, endpoint: str | None) -> Loaded:
    """A network that takes uint8 frames, its endpoint, and the digest of its weights.

    endpoint: one that `endpoints` lists. Raises LookupError for another, FileNotFoundError or ValueError for weights
    that do not fit.
    """
    from torchvision.models import get_model

    from stvr.backbones.weights.load import digest, read_state  # like torchvision, takes seconds to import

    if weights is None:
        raise LookupError(f"{name} has no weights of its own. Give torchvision's with --weights FILE.")
    chosen = VIDEO_BACKBONES[name]
    endpoint = endpoint or chosen.endpoint
    with torch.device("meta"):  # drawing random weights would take seconds
        whole = get_model(name, weights=None)
    if endpoint not in endpoints(whole):
        raise LookupError(f"{name} has no endpoint {endpoint!r}, and gives one map a run. "
                          f"Choose one of {', '.join(endpoints(whole))}.")
    cut = chosen.kind(layers_up_to(whole, endpoint)).to_empty(device="cpu")
    fill(cut, whole, read_state(weights), str(weights))
    network = OfClips(cut.requires_grad_(False), chosen.mean, chosen.deviation).to(memory_format=torch.channels_last_3d)
    return Loaded(network.eval(), endpoint, digest(cut.state_dict()))


def endpoints(whole: nn.Module) -> list[str]:
    """The names of the layers that give maps, in order, as torchvision's state dict spells them: "features.4"."""
    names: list[str] = []
    for name, child in whole.named_children():
        if name in ("features", "blocks"):
            names += [f"{name}.{number}" for number, _ in child.named_children()]
        elif name not in NOT_MAPS:
            names.append(name)
    return names


def layers_up_to(whole: nn.Module, endpoint: str) -> OrderedDict[str, nn.Module]:
    """The children of a network up to one of its `endpoints`, under their own names."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    last, _, number = endpoint.partition(".")
    for name, child in whole.named_children():
        if name == last and number and isinstance(child, nn.Sequential | nn.ModuleList):
            child = child[: int(number) + 1]
        layers[name] = child
        if name == last:
            break
    return layers
