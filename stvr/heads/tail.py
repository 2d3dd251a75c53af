"""The second stage's own layers: ResNet's block4 on pooled regions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BATCH_NORM_EPSILON = 1e-5  # slim's resnet_arg_scope in the program


class FrozenBatchNorm(nn.Module):
    """Batch norm whose statistics are given (0 and 1 from scratch) while gain and bias train."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=BATCH_NORM_EPSILON)


class GroupNorm(nn.GroupNorm):
    """For training from scratch on little data, where frozen statistics of 0 and 1 normalise nothing."""

    def __init__(self, channels: int) -> None:
        super().__init__(min(16, channels), channels)

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() or x.device.type != "cpu" or not len(x):
            return super().forward(x)
        return group_norm_of_rows(x, self.num_groups, self.weight, self.bias, self.eps)


def group_norm_of_rows(x: Tensor, num_groups: int, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """F.group_norm of maps (N, C, H, W) in channels_last, where torch's own takes twice as long on a CPU."""
    rows = x.permute(0, 2, 3, 1).flatten(1, 2)  # (N, H W, C)
    size = rows[0].numel() // num_groups
    sums = (each.sum(1).unflatten(1, (num_groups, -1)).sum(2, keepdim=True) for each in (rows, rows * rows))
    mean, square = (each / size for each in sums)  # (N, groups, 1)
    variance = (square - mean * mean).clamp_min(0)  # of a group that is constant, rounding may carry it below
    gain = weight.unflatten(0, (num_groups, -1)) * (variance + epsilon).rsqrt()  # (N, groups, C / groups)
    shift = bias.unflatten(0, (num_groups, -1)) - mean * gain
    normed = torch.addcmul(shift.flatten(1)[:, None], rows, gain.flatten(1)[:, None])
    return normed.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)


NORMS: dict[str, type[nn.Module]] = {"frozen_batch": FrozenBatchNorm, "group": GroupNorm}


class Bottleneck(nn.Module):
    """One bottleneck unit, version 1, with an identity shortcut."""

    def __init__(self, channels: int, width: int, norm: type[nn.Module]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.conv3 = nn.Conv2d(width, channels, 1, bias=False)
        self.norm1, self.norm2, self.norm3 = norm(width), norm(width), norm(channels)
        for conv in (self.conv1, self.conv2, self.conv3):
            nn.init.kaiming_normal_(conv.weight, mode="fan_in")

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.norm1(self.conv1(x)), inplace=True)
        hidden = F.relu(self.norm2(self.conv2(hidden)), inplace=True)
        return F.relu(self.norm3(self.conv3(hidden)).add_(x), inplace=True)


class Tail(nn.Module):
    """Regions (N, 7, 7, C) -> (N, C): `units` bottlenecks, then the mean over the 7x7 places."""

    def __init__(self, channels: int, width: int, units: int = 3, norm: str = "frozen_batch") -> None:
        super().__init__()
        self.units = nn.Sequential(*[Bottleneck(channels, width, NORMS[norm]) for _ in range(units)])

    def forward(self, regions: Tensor) -> Tensor:
        return self.units(regions.permute(0, 3, 1, 2)).mean((2, 3))
