"""Fewer products give the same convolution."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stvr.backbones import load_backbone
from stvr.backbones.fold import FoldedUnit
from stvr.backbones.hands import by_hands
from stvr.backbones.i3d import I3D, Unit, scale
from stvr.backbones.weights.load import load_weights
from stvr.backbones.winograd import MIN_TILES, POINTS, TILE, WinogradUnit, suits, turns, with_fewer_products


def made_unit(*sizes: int, stride: int = 1) -> tuple[FoldedUnit, Unit]:
    """A unit of random weights and statistics, folded, and in float64 as it was trained."""
    chance, unit = torch.Generator().manual_seed(len(sizes) + stride), Unit(*sizes, stride).eval()
    for each in (unit.conv3d.weight, unit.bn.bias, unit.bn.running_mean):
        nn.init.normal_(each, std=0.1, generator=chance)
    nn.init.uniform_(unit.bn.running_var, 0.5, 2, generator=chance)
    folded = FoldedUnit(unit).requires_grad_(False).to(memory_format=torch.channels_last_3d)
    return folded, unit.double()


@pytest.mark.parametrize("taps", POINTS)
def test_a_tile_of_one_axis_is_numpys_correlation(taps):
    back, kernel, there = turns(taps)
    chance = torch.Generator().manual_seed(taps)
    x, weights = (torch.randn(size, dtype=torch.float64, generator=chance) for size in (TILE + taps - 1, taps))
    expected = torch.from_numpy(np.correlate(x.numpy(), weights.numpy()))
    torch.testing.assert_close(back @ ((kernel @ weights) * (there @ x)), expected)


@pytest.mark.parametrize(("channels", "kernel", "stride"), [((70, 65), 3, 1), ((3, 64), 7, 2)])
@pytest.mark.parametrize("shape", [(4, 20, 20), (3, 33, 21), (1, 40, 26), (8, 47, 64), (2, 8, 9)])
def test_maps_equal_float64s_at_odd_sizes_too(channels, kernel, stride, shape):
    folded, exact = made_unit(*channels, kernel, stride=stride)
    assert suits(folded)
    x = torch.randn(2, channels[0], *shape, generator=torch.Generator().manual_seed(1))
    x = x.contiguous(memory_format=torch.channels_last_3d)
    with torch.inference_mode():
        maps, expected = WinogradUnit(folded)(x), exact(x.double())
    assert maps.is_contiguous(memory_format=torch.channels_last_3d)
    assert float((maps - expected).norm() / expected.norm()) < 5e-6


def test_a_clip_alone_has_the_bits_that_it_has_among_others_and_on_any_number_of_threads(threads):
    unit = WinogradUnit(made_unit(64, 192, 3)[0])
    x = torch.randn(3, 64, 4, 40, 40, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        threads(1)
        alone = torch.cat([unit(clip) for clip in x.split(1)])
        threads(3)
        torch.testing.assert_close(unit(x), alone, rtol=0, atol=0)


def test_clips_are_shared_out_over_threads_and_come_back_in_order(threads):
    threads(3)

    def work(clip):
        return clip, torch.get_num_threads(), torch.is_inference_mode_enabled(), threading.current_thread().name

    with torch.inference_mode():
        clips, counts, modes, names = zip(*by_hands(work, range(20)), strict=True)
    assert clips == tuple(range(20))
    assert (set(counts), set(modes)) == ({1}, {True})
    assert all(name.startswith("stvr-hand") for name in names)
    assert by_hands(work, [7]) == [(7, 3, False, threading.current_thread().name)]  # a single one, by all threads
    with ThreadPoolExecutor(1) as later:  # is not held to one thread, as those are
        assert later.submit(torch.get_num_threads).result() == 3


def test_layers_that_would_lose_by_it_stay_as_they_are(made_i3d):
    plain = load_backbone(weights=made_i3d, endpoint="Mixed_3b", precision="float32").plain
    quick = {name for name, layer in with_fewer_products(plain).named_modules() if isinstance(layer, WinogradUnit)}
    assert quick == {f"network.{name}" for name in ("Conv3d_1a_7x7", "Conv3d_2c_3x3", "Mixed_3b.b1b")}
    assert not any(isinstance(layer, WinogradUnit) for layer in plain.modules())


def test_few_tiles_go_the_usual_way():
    folded, _ = made_unit(64, 64, 3)
    x = torch.randn(1, 64, 2, TILE, TILE * (MIN_TILES - 1))
    with torch.inference_mode():
        torch.testing.assert_close(WinogradUnit(folded)(x), folded(x), rtol=0, atol=0)


@pytest.mark.parametrize("endpoint", ["Mixed_3b", "Conv3d_2c_3x3,Mixed_3b.mean"])
def test_features_equal_the_plain_networks(made_i3d, endpoint):
    frames = torch.randint(0, 256, (3, 8, 80, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    backbone = load_backbone(weights=made_i3d, endpoint=endpoint, precision="float32", runtime="auto")
    assert backbone.precision == "float32 by winograd"
    model = I3D("Mixed_3b").eval()
    load_weights(model, made_i3d)
    with torch.no_grad():
        x, wanted = scale(frames), {}
        for name, layer in model.named_children():
            x = layer(x)
            wanted[name] = x
    expected = [F.adaptive_avg_pool3d(wanted[cut.removesuffix(".mean")], 1) if cut.endswith(".mean") else wanted[cut]
                for cut in endpoint.split(",")]  # fmt: skip
    for maps, each in zip(backbone.maps(frames), expected, strict=True):
        assert float((maps.movedim(-1, 1) - each).norm() / each.norm()) < 5e-6


@pytest.mark.parametrize("options", [{"precision": "bfloat16"}, {"endpoint": "MaxPool3d_2a_3x3", "device": "meta"}])
def test_what_it_is_not_for_is_refused(options):
    with pytest.raises(ValueError, match="float32"):
        load_backbone(runtime="winograd", **{"precision": "float32", **options})


def test_named_alone_it_computes_in_float32_whatever_the_processor_has():
    assert load_backbone(weights="analytic", endpoint="Mixed_3b", runtime="winograd").precision == "float32 by winograd"
