"""I3D with random weights whose signal stays alive down to the logits."""

from __future__ import annotations

import torch
from torch import nn

from stvr.backbones.i3d import I3D


def lively_i3d(endpoint: str = "Logits", num_classes: int = 400) -> I3D:
    """Statistics of batch norm are far from the identity."""
    torch.manual_seed(0)
    model = I3D(endpoint, num_classes=num_classes).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.running_var, 0.01, 0.03)
            for vector in (module.running_mean, module.bias):
                nn.init.normal_(vector, 0, 0.05)
            nn.init.uniform_(module.weight, 0.8, 1.2)
    return model
