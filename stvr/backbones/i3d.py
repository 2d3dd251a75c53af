"""I3D (Carreira and Zisserman, CVPR 2017), cut at any endpoint.

Layers and state names are those of the published PyTorch port (piergiaj). Padding is TensorFlow's SAME, as in the
original program: the odd pixel lies on the far side, and a pool never picks its padding.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Triple = tuple[int, int, int]

NUM_CLASSES = 400  # Kinetics-400
EPSILON = 1e-3  # of batch norm, in the published program
LOGITS_WINDOW: Triple = (2, 7, 7)  # the average before the logits, in cells of Mixed_5c


class I3D(nn.Sequential):
    """I3D from the first layer to `endpoint`; later layers are not built.

    forward: (B, in_channels, T, H, W) in [-1, 1] -> (B, C, T', H', W'). Mixed_4c halves time twice and space four
    times and has 512 channels: 8 x 320 x 320 becomes 2 x 20 x 20. T, H and W may be any size.
    Logits gives (B, num_classes, T', H', W'): a logit for every window of 2 x 7 x 7 cells (smaller where the map
    is); their mean over T', H', W' is the logits of the video. 64 x 224 x 224 gives 7 x 1 x 1, as published.
    endpoint: one of ENDPOINTS, in upper or lower case. LookupError otherwise.
    """

    def __init__(self, endpoint: str = "Mixed_4c", in_channels: int = 3, num_classes: int = NUM_CLASSES) -> None:
        self.endpoint = named_endpoint(endpoint)
        self.in_channels, self.num_classes = in_channels, num_classes
        built: OrderedDict[str, nn.Module] = OrderedDict()
        for name, layer in layers(in_channels, num_classes):
            built["logits" if name == "Logits" else name] = layer
            if name == self.endpoint:
                break
        super().__init__(built)


def layers(in_channels: int, num_classes: int) -> Iterator[tuple[str, nn.Module]]:
    """Every layer in order, built on demand. Mixed: channels of b0, b1a, b1b, b2a, b2b, b3b."""
    yield "Conv3d_1a_7x7", Unit(in_channels, 64, 7, stride=2)
    yield "MaxPool3d_2a_3x3", Pool((1, 3, 3), (1, 2, 2))
    yield "Conv3d_2b_1x1", Unit(64, 64, 1)
    yield "Conv3d_2c_3x3", Unit(64, 192, 3)
    yield "MaxPool3d_3a_3x3", Pool((1, 3, 3), (1, 2, 2))
    yield "Mixed_3b", Mixed(192, (64, 96, 128, 16, 32, 32))
    yield "Mixed_3c", Mixed(256, (128, 128, 192, 32, 96, 64))
    yield "MaxPool3d_4a_3x3", Pool((3, 3, 3), (2, 2, 2))
    yield "Mixed_4b", Mixed(480, (192, 96, 208, 16, 48, 64))
    yield "Mixed_4c", Mixed(512, (160, 112, 224, 24, 64, 64))
    yield "Mixed_4d", Mixed(512, (128, 128, 256, 24, 64, 64))
    yield "Mixed_4e", Mixed(512, (112, 144, 288, 32, 64, 64))
    yield "Mixed_4f", Mixed(528, (256, 160, 320, 32, 128, 128))
    yield "MaxPool3d_5a_2x2", Pool((2, 2, 2), (2, 2, 2))
    yield "Mixed_5b", Mixed(832, (256, 160, 320, 32, 128, 128))
    yield "Mixed_5c", Mixed(832, (384, 192, 384, 48, 128, 128))
    yield "Logits", Logits(1024, num_classes)


class Unit(nn.Module):
    """Convolution, batch norm without a gain, ReLU; SAME padding."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.conv3d = nn.Conv3d(in_channels, out_channels, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(out_channels, eps=EPSILON, momentum=0.01)
        self.bn.weight.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(same_conv3d(x, self.conv3d)))


class Mixed(nn.Module):
    """Four branches over the same input, joined along the channels."""

    def __init__(self, in_channels: int, channels: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        self.b0 = Unit(in_channels, channels[0], 1)
        self.b1a, self.b1b = Unit(in_channels, channels[1], 1), Unit(channels[1], channels[2], 3)
        self.b2a, self.b2b = Unit(in_channels, channels[3], 1), Unit(channels[3], channels[4], 3)
        self.b3a, self.b3b = Pool((3, 3, 3), (1, 1, 1)), Unit(in_channels, channels[5], 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x))], 1)


class Pool(nn.Module):
    """Max pool with SAME padding. Torch pads with -inf, and ceil_mode adds the odd pixel on the far side."""

    def __init__(self, kernel: Triple, stride: Triple) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor, in_time: bool = True) -> Tensor:
        """in_time: False pads rows and columns alone; the steps must then fill the last window."""
        near = [same_padding(*sizes)[0] for sizes in zip(x.shape[2:], self.kernel, self.stride, strict=True)]
        return F.max_pool3d(x, self.kernel, self.stride, near if in_time else [0, *near[1:]], ceil_mode=True)


class Logits(nn.Module):
    """Averages windows of the last map, then classifies each."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(in_channels, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        window = [min(whole, size) for whole, size in zip(LOGITS_WINDOW, x.shape[2:], strict=True)]
        return self.conv3d(F.avg_pool3d(x.float(), window, 1).to(x.dtype))  # the CPU has no bfloat16 average


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME: cells to add before and after one axis; the odd one goes after."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def same_conv3d(x: Tensor, conv: nn.Conv3d, in_time: bool = True) -> Tensor:
    """`conv` with SAME padding; an axis is padded by a copy only where the convolution cannot do it itself.

    in_time: False pads rows and columns alone.

    Uneven padding is one such case. Time is the other, wherever a gradient may be needed: a bfloat16 3 x 3 x 3 on the
    CPU that pads two time steps itself silently returns a wrong weight gradient (torch 2.15, oneDNN).
    """
    pads = [same_padding(*sizes) for sizes in zip(x.shape[2:], conv.kernel_size, conv.stride, strict=True)]
    if not in_time:
        pads[0] = (0, 0)
    copied = [near != far or (axis == 0 and near > 0 and torch.is_grad_enabled())
              for axis, (near, far) in enumerate(pads)]
    if any(copied):
        last_axis_first = [pad if copy else (0, 0) for pad, copy in zip(pads, copied, strict=True)][::-1]
        x = F.pad(x, [cells for pad in last_axis_first for cells in pad])
    left = [0 if copy else near for (near, _), copy in zip(pads, copied, strict=True)]
    return F.conv3d(x, conv.weight, conv.bias, conv.stride, left)


def scale(frames: Tensor) -> Tensor:
    """Decoded frames (B, T, H, W, 3) uint8 -> (B, 3, T, H, W) float32 in [-1, 1], in channels_last_3d, for I3D."""
    return frames.movedim(-1, 1).float().div_(127.5).sub_(1)


def named_endpoint(name: str) -> str:
    """`name` as ENDPOINTS spells it."""
    for endpoint in ENDPOINTS:
        if endpoint.lower() == name.lower():
            return endpoint
    raise LookupError(f"I3D has no endpoint {name!r}. Choose one of {', '.join(ENDPOINTS)}.")


with torch.device("meta"):
    ENDPOINTS = tuple(name for name, _ in layers(3, NUM_CLASSES))
