"""The second stage's layers give the same with and without gradients, which take different ways."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from stvr.heads.assembly import MATCHING
from stvr.heads.matching import REGIONS_AT_ONCE
from stvr.heads.tail import GroupNorm, Tail
from stvr.jobs.train import train_options
from stvr.structures import ClipSpec, FeatureSpec, MapSpec


@pytest.mark.parametrize(("channels", "level"), [(160, 0.0), (5, 30.0)])
def test_norms_of_groups_are_torchs_in_float64(channels, level):
    chance, norm = torch.Generator().manual_seed(channels), GroupNorm(channels)
    for each in norm.parameters():
        torch.nn.init.normal_(each, generator=chance)
    x = (torch.randn(3, channels, 7, 5, generator=chance) + level).contiguous(memory_format=torch.channels_last)
    expected = F.group_norm(x.double(), norm.num_groups, norm.weight.double(), norm.bias.double(), norm.eps)
    with torch.no_grad():
        torch.testing.assert_close(norm(x).double(), expected, rtol=1e-3, atol=1e-3 if level else 1e-5)


@pytest.mark.parametrize("norm", ["group", "frozen_batch"])
def test_regions_are_the_same_with_and_without_gradients(norm):
    torch.manual_seed(0)
    tail, regions = Tail(48, 16, 2, norm), torch.randn(5, 7, 7, 48)
    with_gradients = tail(regions)
    with torch.inference_mode():
        torch.testing.assert_close(tail(regions), with_gradients, rtol=1e-4, atol=1e-5)


def test_many_regions_in_parts_are_the_same_as_all_at_once():
    torch.manual_seed(0)
    spec = FeatureSpec("i3d", "made", "00", (MapSpec("Mixed_4c", 16, 2, 32),), ClipSpec(image_size=64))
    head = MATCHING.build(train_options("small").head, spec).eval()
    channels = head.tail.units[0].conv1.in_channels
    regions, attended = torch.randn(2, REGIONS_AT_ONCE + 7, 7, 7, channels // 2)
    at_once = head.through_tail(regions, attended, None)  # gradients are recorded
    with torch.inference_mode():
        torch.testing.assert_close(head.through_tail(regions, attended, None), at_once, rtol=1e-4, atol=1e-5)
