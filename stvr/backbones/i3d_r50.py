"""ResNet-50 inflated to video, the backbone of region graphs: 2048 channels, a cell for 16 x 16 pixels and 2 frames.

Layers and names are those of PyTorchVideo's i3d_r50, whose public checkpoints fit; only the last stage keeps its
stride, as in Wang and Gupta, ECCV 2018. Which convolutions reach over time is as in their program.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor, nn

from stvr.backbones.backbone import Loaded
from stvr.backbones.image import fill
from stvr.backbones.video import OfClips

MEAN, DEVIATION = (0.45, 0.45, 0.45), (0.225, 0.225, 0.225)  # PyTorchVideo's, for all of its Kinetics networks
NUM_CLASSES = 400
# width of a stage's middle convolutions, its stride in space, and over how many frames the first of each block reaches
STAGES = {
    "blocks.1": (64, 1, (3, 3, 3)),
    "blocks.3": (128, 2, (3, 1, 3, 1)),
    "blocks.4": (256, 2, (3, 1, 3, 1, 3, 1)),
    "blocks.5": (512, 1, (1, 3, 1)),
}
ENDPOINTS = {"res2": "blocks.1", "res3": "blocks.3", "res4": "blocks.4", "res5": "blocks.5"}
DEFAULT_ENDPOINT = "res5"


class Block(nn.Module):
    """Maps (B, C_in, T, H, W) -> (B, 4 width, T, H / stride, W / stride)."""

    def __init__(self, channels: int, width: int, frames: int, stride: int) -> None:
        super().__init__()
        if channels != 4 * width:
            self.branch1_conv = nn.Conv3d(channels, 4 * width, 1, (1, stride, stride), bias=False)
            self.branch1_norm = nn.BatchNorm3d(4 * width)
        self.branch2 = nn.Sequential(OrderedDict(
            conv_a=nn.Conv3d(channels, width, (frames, 1, 1), padding=(frames // 2, 0, 0), bias=False),
            norm_a=nn.BatchNorm3d(width), act_a=nn.ReLU(),
            conv_b=nn.Conv3d(width, width, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False),
            norm_b=nn.BatchNorm3d(width), act_b=nn.ReLU(),
            conv_c=nn.Conv3d(width, 4 * width, 1, bias=False), norm_c=nn.BatchNorm3d(4 * width),
        ))  # fmt: skip

    def forward(self, maps: Tensor) -> Tensor:
        shortcut = self.branch1_norm(self.branch1_conv(maps)) if hasattr(self, "branch1_conv") else maps
        return (shortcut + self.branch2(maps)).relu()


class Stage(nn.Module):
    def __init__(self, channels: int, width: int, stride: int, frames: tuple[int, ...]) -> None:
        super().__init__()
        self.res_blocks = nn.Sequential(*(
            Block(channels if number == 0 else 4 * width, width, reach, stride if number == 0 else 1)
            for number, reach in enumerate(frames)
        ))  # fmt: skip

    def forward(self, maps: Tensor) -> Tensor:
        out: Tensor = self.res_blocks(maps)
        return out


class Head(nn.Module):
    """Class scores (B, classes) of maps; not run here, but a checkpoint of the whole has it."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(2048, NUM_CLASSES)

    def forward(self, maps: Tensor) -> Tensor:
        scores: Tensor = self.proj(maps.mean((2, 3, 4)))
        return scores


class ResNet50(nn.Module):
    """Pictures (B, 3, T, H, W) -> maps (B, 2048, T / 2, H / 16, W / 16), or class scores (B, 400) with its head."""

    def __init__(self, last: str = "blocks.6") -> None:
        super().__init__()
        stem = nn.Sequential(OrderedDict(
            conv=nn.Conv3d(3, 64, (5, 7, 7), (1, 2, 2), (2, 3, 3), bias=False), norm=nn.BatchNorm3d(64),
            activation=nn.ReLU(), pool=nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        ))  # fmt: skip
        blocks, channels = {"blocks.0": stem, "blocks.2": nn.MaxPool3d((2, 1, 1))}, 64
        for name, (width, stride, frames) in STAGES.items():
            blocks[name], channels = Stage(channels, width, stride, frames), 4 * width
        blocks["blocks.6"] = Head()
        self.blocks = nn.Sequential(*(blocks[name] for name in sorted(blocks) if name <= last))

    def forward(self, pictures: Tensor) -> Tensor:
        out: Tensor = self.blocks(pictures)
        return out


def load_i3d_r50(weights: Path | None, endpoint: str | None) -> Loaded:
    """A network that takes uint8 frames, its endpoint, and the digest of its weights.

    Raises LookupError for another endpoint than ENDPOINTS, FileNotFoundError or ValueError for weights that do not fit.
    """
    from stvr.backbones.weights.load import digest, read_state  # takes seconds to import that I3D need not spend

    if weights is None:
        raise LookupError("i3d_r50 has no weights of its own. Give PyTorchVideo's with --weights FILE.")
    endpoint = endpoint or DEFAULT_ENDPOINT
    if endpoint not in ENDPOINTS:
        raise LookupError(f"i3d_r50 has no endpoint {endpoint!r}, and gives one map a run. "
                          f"Choose one of {', '.join(ENDPOINTS)}.")
    with torch.device("meta"):  # drawing random weights would take seconds
        whole, cut = ResNet50(), ResNet50(ENDPOINTS[endpoint])
    cut = cut.to_empty(device="cpu")
    fill(cut, whole, read_state(weights), str(weights))
    network = OfClips(cut.requires_grad_(False), MEAN, DEVIATION).to(memory_format=torch.channels_last_3d)
    return Loaded(network.eval(), endpoint, digest(cut.state_dict()))
