"""The 3D ResNets of 3D-ResNets-PyTorch: depths 10 to 200, told from their files.

Hara, Kataoka and Satoh, "Can Spatiotemporal 3D CNNs Retrace the History of 2D CNNs and ImageNet?", CVPR 2018, and their
program (kenshohara/3D-ResNets-PyTorch, models/resnet.py), whose layers have these names. The menu is RESNETS_3D.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stvr.backbones.backbone import Loaded
from stvr.backbones.image import fill
from stvr.backbones.video import OfClips

MEAN, DEVIATION = (0.4345, 0.4051, 0.3775), (0.2768, 0.2713, 0.2737)  # of Kinetics, as that program has them
DEPTHS = {  # whether the blocks are bottlenecks, and how many each layer has
    10: (False, (1, 1, 1, 1)), 18: (False, (2, 2, 2, 2)), 34: (False, (3, 4, 6, 3)), 50: (True, (3, 4, 6, 3)),
    101: (True, (3, 4, 23, 3)), 152: (True, (3, 8, 36, 3)), 200: (True, (3, 24, 36, 3)),
}  # fmt: skip
LAYERS = ("layer1", "layer2", "layer3", "layer4")
DEFAULT_ENDPOINT = "layer3"  # a cell for 16 x 16 pixels and 8 frames
WIDTH = 64  # of the first layer


@dataclass(frozen=True, slots=True)
class Shape:
    """What a network is made of. depth: in DEPTHS, None for what the file has. classes: of its last layer.

    stem_frames, stem_stride: of the first convolution over time. pooled: whether it has the pooling after it.
    projected: shortcuts by a convolution (type B), or padded with zeros (type A). width: of the first layer.
    """

    depth: int | None = None
    stem_frames: int = 7
    stem_stride: int = 1
    pooled: bool = True
    projected: bool = True
    width: int = WIDTH
    classes: int = 700


RESNETS_3D = {  # what a file cannot tell, by the names of that program's options; for these the file tells the depth
    **{f"resnet3d_{depth}": Shape(depth) for depth in DEPTHS},
    "resnet3d_no_max_pool": Shape(pooled=False),
    "resnet3d_conv1_t_stride_2": Shape(stem_stride=2),
    "resnet3d_conv1_t_stride_2_no_max_pool": Shape(stem_stride=2, pooled=False),
}


class Padded(nn.Module):
    """The shortcut of type A: every `stride`-th cell, and zeros for the channels that are not there."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.channels, self.stride = channels, stride

    def forward(self, maps: Tensor) -> Tensor:
        cells = maps[:, :, :: self.stride, :: self.stride, :: self.stride]
        return F.pad(cells, (0, 0) * 3 + (0, self.channels - maps.shape[1]))


class Block(nn.Module):
    """Maps (B, C_in, T, H, W) -> (B, C_out, T / stride, H / stride, W / stride); C_out is 4 width of a bottleneck."""

    def __init__(self, channels: int, width: int, stride: int, *, bottleneck: bool, projected: bool) -> None:
        super().__init__()
        out = 4 * width if bottleneck else width
        kernels = ((1, 1), (3, stride), (1, 1)) if bottleneck else ((3, stride), (3, 1))
        widths = (channels, *[width] * (len(kernels) - 1), out)
        for number, (kernel, step) in enumerate(kernels, 1):
            convolution = nn.Conv3d(widths[number - 1], widths[number], kernel, step, kernel // 2, bias=False)
            self.add_module(f"conv{number}", convolution)
            self.add_module(f"bn{number}", nn.BatchNorm3d(widths[number]))
        self.count = len(kernels)
        self.downsample: nn.Module | None = None
        if (stride != 1 or channels != out) and projected:
            self.downsample = nn.Sequential(nn.Conv3d(channels, out, 1, stride, bias=False), nn.BatchNorm3d(out))
        elif stride != 1 or channels != out:
            self.downsample = Padded(out, stride)

    def forward(self, maps: Tensor) -> Tensor:
        out = maps
        for number in range(1, self.count + 1):
            out = self.get_submodule(f"bn{number}")(self.get_submodule(f"conv{number}")(out))
            out = out.relu() if number < self.count else out
        return (out + (maps if self.downsample is None else self.downsample(maps))).relu()


class ResNet3d(nn.Module):
    """Pictures (B, 3, T, H, W) -> maps of `last`, or class scores (B, classes) for "fc".

    Maps of layer1 have a cell for 4 x 4 pixels and 2 frames, those of every later one for twice as many of each.
    """

    def __init__(self, shape: Shape, last: str = "fc") -> None:
        super().__init__()
        assert shape.depth is not None
        bottleneck, counts = DEPTHS[shape.depth]
        self.pooled = shape.pooled
        self.conv1 = nn.Conv3d(3, shape.width, (shape.stem_frames, 7, 7), (shape.stem_stride, 2, 2),
                               (shape.stem_frames // 2, 3, 3), bias=False)  # fmt: skip
        self.bn1 = nn.BatchNorm3d(shape.width)
        channels, self.names = shape.width, LAYERS if last == "fc" else LAYERS[: LAYERS.index(last) + 1]
        for number, name in enumerate(self.names):
            width = shape.width * 2**number
            blocks = []
            for index in range(counts[number]):
                stride = 2 if number and not index else 1
                blocks.append(Block(channels, width, stride, bottleneck=bottleneck, projected=shape.projected))
                channels = 4 * width if bottleneck else width
            self.add_module(name, nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, shape.classes) if last == "fc" else None

    def forward(self, pictures: Tensor) -> Tensor:
        maps = self.bn1(self.conv1(pictures)).relu()
        maps = F.max_pool3d(maps, 3, 2, 1) if self.pooled else maps
        for name in self.names:
            maps = self.get_submodule(name)(maps)
        return maps if self.fc is None else self.fc(maps.mean((2, 3, 4)))


def shape_of(state: Mapping[str, Tensor], given: Shape, source: str) -> Shape:
    """What the weights of a file say of the network that they are of; the rest as given.

    ValueError, in words for the user, for those of another network, or of another depth than given.
    """
    stem, wanted = state.get("conv1.weight"), "the weights of a 3D ResNet of 3D-ResNets-PyTorch"
    if stem is None or stem.ndim != 5 or "layer4.0.conv2.weight" not in state:
        flat = ", whose convolutions are flat: an image network" if stem is not None and stem.ndim == 4 else ""
        raise ValueError(f"{source}: wanted {wanted}, got those of another network{flat}. Give its own --backbone.")
    if stem.shape[1] != 3:
        raise ValueError(f"{source}: wanted {wanted} that reads 3 colours, got one that reads {stem.shape[1]} values "
                         "a pixel. Give one that was trained on RGB.")
    counts = tuple(len({match[1] for name in state if (match := re.match(rf"{layer}\.(\d+)\.", name))})
                   for layer in LAYERS)  # fmt: skip
    bottleneck = "layer1.0.conv3.weight" in state
    depth = next((depth for depth, form in DEPTHS.items() if form == (bottleneck, counts)), None)
    if depth is None or given.depth not in (None, depth):
        kind = "bottlenecks" if bottleneck else "basic blocks"
        told = f"{kind} {', '.join(map(str, counts))}" + (f", which is depth {depth}" if depth else "")
        advice = f"Give --backbone resnet3d_{depth}" if depth else f"Depths are {', '.join(map(str, DEPTHS))}"
        raise ValueError(f"{source}: wanted {wanted}{f' of depth {given.depth}' if given.depth else ''}, got {told}. "
                         f"{advice}.")
    projected = any(".downsample." in name for name in state)
    classes = len(state["fc.weight"]) if "fc.weight" in state else given.classes
    return replace(given, depth=depth, stem_frames=stem.shape[2], projected=projected, width=len(stem), classes=classes)


def load_resnet3d(name: str, weights: Path | None, endpoint: str | None) -> Loaded:
    """A network that takes uint8 frames, its endpoint, and the digest of its weights.

    name: in RESNETS_3D. Raises LookupError for another endpoint than LAYERS, FileNotFoundError or ValueError for
    weights that do not fit.
    """
    from stvr.backbones.weights.load import digest, read_state  # takes seconds to import that I3D need not spend

    if weights is None:
        raise LookupError(f"{name} has no weights of its own. Give those of 3D-ResNets-PyTorch with --weights FILE.")
    endpoint = endpoint or DEFAULT_ENDPOINT
    if endpoint not in LAYERS:
        raise LookupError(f"{name} has no endpoint {endpoint!r}, and gives one map a run. "
                          f"Choose one of {', '.join(LAYERS)}.")
    state = read_state(weights)
    shape = shape_of(state, RESNETS_3D[name], str(weights))
    with torch.device("meta"):  # drawing random weights would take seconds
        whole, cut = ResNet3d(shape), ResNet3d(shape, endpoint)
    cut = cut.to_empty(device="cpu")
    fill(cut, whole, state, str(weights))
    network = OfClips(cut.requires_grad_(False), MEAN, DEVIATION).to(memory_format=torch.channels_last_3d)
    return Loaded(network.eval(), endpoint, digest(cut.state_dict()))
