"""Video networks: torchvision's own layers on whole clips, cut where asked, made weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest
import torch
from bfloat16 import needs_bfloat16
from torch import Tensor, nn
from torchvision.models import get_model, get_model_weights
from torchvision.transforms import functional as transforms

from stvr.backbones import load_backbone
from stvr.backbones.video import VIDEO_BACKBONES
from stvr.store import FeatureStore
from stvr.structures import ClipSpec, MapSpec, Span

NAMES = ("s3d", "r2plus1d_18", "swin3d_t", "mvit_v2_s")  # r3d_18 and mc3_18 are built as r2plus1d_18 is


@cache
def network_of(name: str) -> nn.Module:
    """Its numbers made so that no map dies away, and so that no batch norm leaves a map as it is."""
    torch.manual_seed(0)
    network = get_model(name, weights=None).eval()
    for module in network.modules():
        if isinstance(module, nn.Conv3d) and name == "s3d":
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm3d):
            nn.init.normal_(module.running_mean, 0, 0.2)
            nn.init.uniform_(module.running_var, 0.7, 1.5)
    return network


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Callable[[str], Path]:
    """The file of a network's made weights."""
    folder = tmp_path_factory.mktemp("weights")

    def file_of(name: str) -> Path:
        path = folder / f"{name}.pth"
        if not path.exists():
            torch.save(network_of(name).state_dict(), path)
        return path

    return file_of


def made_clips(count: int, num_frames: int, side: int) -> Tensor:
    """Clips (B, T, S, S, 3) of noise."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, num_frames, side, side, 3), dtype=torch.uint8, generator=generator)


def normalised(name: str, clips: Tensor) -> Tensor:
    """(B, 3, T, H, W), by the colours that torchvision publishes with its weights."""
    preset = get_model_weights(name).DEFAULT.transforms()
    pictures = [transforms.normalize(clip.permute(0, 3, 1, 2) / 255, preset.mean, preset.std) for clip in clips]
    return torch.stack(pictures).transpose(1, 2)


@torch.no_grad()
def run_to(network: nn.Module, layer: str, pictures: Tensor) -> Tensor:
    """What a layer gives while torchvision's own forward runs."""
    seen: list[Tensor] = []
    hook = network.get_submodule(layer).register_forward_hook(
        lambda module, inputs, output: seen.append(output[0] if isinstance(output, tuple) else output)
    )
    network(pictures)
    hook.remove()
    return seen[0]


def as_the_contract_has_it(name: str, output: Tensor, side: int) -> Tensor:
    """What torchvision's layer gives -> (B, time, row, column, C)."""
    if name == "mvit_v2_s":
        return output[:, 1:].reshape(len(output), -1, side, side, output.shape[-1])
    return output if name == "swin3d_t" else output.movedim(1, -1)


@pytest.mark.parametrize(("name", "num_frames", "side"), [
    ("r2plus1d_18", 8, 80), ("swin3d_t", 8, 80),
    ("s3d", 16, 224),  # its classifier, behind the map, takes no fewer
    ("mvit_v2_s", 16, 224),  # torchvision's forward takes no other
])
def test_a_map_is_what_torchvisions_own_forward_gives_there(name, num_frames, side, saved):
    clips = made_clips(1, num_frames, side)
    backbone = load_backbone(name, saved(name), precision="float32")
    output = run_to(network_of(name), backbone.endpoint, normalised(name, clips))
    expected = as_the_contract_has_it(name, output, side // 16)
    assert expected.std() > 0.01
    torch.testing.assert_close(backbone(clips), expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_mvit_on_fewer_pixels_stretches_its_positions_as_torchvision_does(saved):
    """torchvision's forward, told the size of the tokens that it otherwise assumes."""
    clips, network = made_clips(2, 8, 96), deepcopy(network_of("mvit_v2_s"))
    network.pos_encoding.temporal_size, network.pos_encoding.spatial_size = 4, (24, 24)
    output = run_to(network, "blocks.13", normalised("mvit_v2_s", clips))
    expected = as_the_contract_has_it("mvit_v2_s", output, 6)
    features = load_backbone("mvit_v2_s", saved("mvit_v2_s"), precision="float32")(clips)
    torch.testing.assert_close(features, expected, rtol=1e-3, atol=1e-4)


# Strides and channels: Xie et al. 2018 and Szegedy et al. 2015 (S3D is I3D's plan), Tran et al. 2018 (table 1),
# Liu et al. 2022 (figure 1), Li et al. 2022 (table A.1). Steps: 8 frames, halved at each stride of time.
@pytest.mark.parametrize(("name", "endpoint", "stride", "steps", "channels"), [
    ("s3d", None, 16, 2, 832), ("s3d", "features.6", 8, 4, 480), ("s3d", "features.15", 32, 1, 1024),
    ("r3d_18", None, 16, 1, 512), ("mc3_18", None, 16, 8, 512), ("r2plus1d_18", None, 16, 1, 512),
    ("r2plus1d_18", "layer2", 4, 4, 128), ("r2plus1d_18", "stem", 2, 8, 64), ("swin3d_t", None, 16, 4, 384),
    ("swin3d_t", "patch_embed", 4, 4, 96), ("swin3d_t", "features.6", 32, 4, 768), ("mvit_v2_s", None, 16, 4, 384),
    ("mvit_v2_s", "blocks.0", 4, 4, 96), ("mvit_v2_s", "blocks.15", 32, 4, 768),
])
def test_a_network_says_what_its_maps_are(name, endpoint, stride, steps, channels, saved):
    backbone = load_backbone(name, saved(name), endpoint, "float32")
    assert backbone.endpoint == (endpoint or VIDEO_BACKBONES[name].endpoint)
    assert backbone.map_specs(ClipSpec()) == (MapSpec(backbone.endpoint, stride, steps, channels),)
    assert backbone(made_clips(1, 8, 96)).shape == (1, steps, 96 // stride, 96 // stride, channels)


@pytest.mark.parametrize("name", NAMES)
def test_any_square_of_pixels_will_do(name, saved):
    backbone = load_backbone(name, saved(name), precision="float32")
    for side, cells in ((32, 2), (100, 7)):  # a cell begins every 16 pixels
        assert backbone(made_clips(1, 8, side)).shape[2:4] == (cells, cells)


@pytest.mark.parametrize("name", NAMES)
def test_the_bits_are_the_same_for_every_batch_and_number_of_threads(name, saved, threads):
    backbone, maps, clips = load_backbone(name, saved(name), precision="float32"), [], made_clips(3, 8, 64)
    for count, size in ((1, 3), (1, 1), (2, 3)):
        threads(count)
        maps.append(torch.cat([backbone(each) for each in clips.split(size)]))
    assert [torch.equal(each, maps[0]) for each in maps] == [True] * 3


@pytest.mark.parametrize("name", ["swin3d_t", "mvit_v2_s"])
@needs_bfloat16
def test_bfloat16_is_near(name, saved):
    clips = made_clips(2, 8, 64)
    exact, rounded = (load_backbone(name, saved(name), precision=precision)(clips).float()
                      for precision in ("float32", "bfloat16"))  # fmt: skip
    assert (rounded - exact).norm() < 0.05 * exact.norm()


def test_weights_and_endpoints_that_do_not_fit_are_named(saved, tmp_path):
    name, file = "r2plus1d_18", saved("r2plus1d_18")
    with pytest.raises(LookupError, match=r"r2plus1d_18 has no endpoint 'fc'.*Choose one of stem, layer1, .*layer4\.$"):
        load_backbone(name, file, "fc")
    with pytest.raises(LookupError, match=r"'layer3,layer4', and gives one map a run"):
        load_backbone(name, file, "layer3,layer4")
    with pytest.raises(LookupError, match=r"r2plus1d_18 has no weights.*--weights"):
        load_backbone(name)
    with pytest.raises(ValueError, match=r"r2plus1d_18.pth: wanted .* got .* missing.* left over"):
        load_backbone("r3d_18", file)
    torch.save({**network_of(name).state_dict(), "extra": torch.zeros(1)}, tmp_path / "more.pth")
    with pytest.raises(ValueError, match=r"1 left over: extra"):
        load_backbone(name, tmp_path / "more.pth")
    shallow, deep = (load_backbone(name, file, endpoint) for endpoint in ("layer3", None))
    assert shallow.weights_digest != deep.weights_digest


def test_extract_fills_a_store_with_a_video_networks_maps(saved, stvr, films, tmp_path):
    made = stvr("extract", films[0], "--store", tmp_path / "store", "--backbone", "r2plus1d_18", "--weights",
                saved("r2plus1d_18"), "--image-size", 112)
    assert made.status == 0, made.err
    spec = json.loads(stvr("info", tmp_path / "store").out)["spec"]
    assert (spec["backbone"], spec["weights"]) == ("r2plus1d_18", "r2plus1d_18.pth")
    assert spec["maps"] == {"layer4": {"stride": 16, "steps": 1, "channels": 512}}
    assert FeatureStore.open(tmp_path / "store").read(Span(films[0].stem, 0, 12)).shape == (12, 7, 7, 1, 512)
