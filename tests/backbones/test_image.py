"""Image networks frame by frame: torchvision's own layers, cut where asked."""

from __future__ import annotations

import pytest
import torch
from torchvision.models import get_model
from torchvision.transforms import functional as transforms

from stvr.backbones import load_backbone
from stvr.backbones.image import IMAGE_BACKBONES
from stvr.structures import ClipSpec, MapSpec


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return get_model("resnet18", weights=None).eval()


@pytest.fixture(scope="module")
def saved(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def frames() -> torch.Tensor:
    """Three clips (3, 8, 64, 64, 3)."""
    return torch.randint(0, 256, (3, 8, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_features_are_torchvisions_maps_averaged_over_each_half_of_a_clip(network, saved, frames):
    features = load_backbone("resnet18", saved, precision="float32")(frames)
    assert features.shape == (3, 2, 4, 4, 256)
    for clip in range(3):
        for half in range(2):
            maps = []
            for picture in frames[clip, 4 * half : 4 * half + 4]:
                x = transforms.normalize(
                    picture.permute(2, 0, 1).float() / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
                )[None]
                x = network.maxpool(network.relu(network.bn1(network.conv1(x))))
                maps.append(network.layer3(network.layer2(network.layer1(x)))[0])
            torch.testing.assert_close(
                features[clip, half].permute(2, 0, 1), torch.stack(maps).mean(0), rtol=1e-3, atol=1e-4
            )  # fmt: skip


@pytest.mark.parametrize("name", ["resnet18", "convnext_tiny", "mobilenet_v3_large", "efficientnet_b0",
                                  "regnet_y_800mf"])
def test_each_is_cut_where_a_cell_is_sixteen_pixels(name, tmp_path, frames):
    torch.save(get_model(name, weights=None).state_dict(), tmp_path / "w.pth")
    backbone = load_backbone(name, tmp_path / "w.pth", precision="float32")
    assert backbone.endpoint == IMAGE_BACKBONES[name]
    assert backbone(frames[:1]).shape[:4] == (1, 2, 4, 4)


def test_a_mean_over_the_picture_keeps_both_halves_of_a_clip(saved, frames):
    maps = load_backbone("resnet18", saved, "layer4", precision="float32")(frames)
    backbone = load_backbone("resnet18", saved, "layer4.mean", precision="float32")
    torch.testing.assert_close(backbone(frames), maps.mean((2, 3), keepdim=True))
    assert backbone.map_specs(ClipSpec(image_size=64)) == (MapSpec("layer4.mean", 64, 2, 512),)


@torch.no_grad()
def test_squeezenet_gives_the_512_channels_before_its_classifier(tmp_path, frames):
    torch.manual_seed(0)
    whole = get_model("squeezenet1_1", weights=None).eval()
    torch.save(whole.state_dict(), tmp_path / "w.pth")
    pictures = frames[:1].flatten(0, 1).permute(0, 3, 1, 2).float() / 255
    shown = transforms.normalize(pictures, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    halves = whole.features(shown).unflatten(0, (2, 4)).mean(1)
    features = load_backbone("squeezenet1_1", tmp_path / "w.pth", precision="float32")(frames[:1])
    torch.testing.assert_close(features[0], halves.permute(0, 2, 3, 1), rtol=1e-3, atol=1e-4)
    assert features.shape == (1, 2, 3, 3, 512)


def test_the_bits_are_the_same_for_every_batch_and_number_of_threads(tmp_path, frames, threads):
    torch.manual_seed(1)
    torch.save(get_model("resnet50", weights=None).state_dict(), tmp_path / "w.pth")
    backbone, maps = load_backbone("resnet50", tmp_path / "w.pth", precision="float32"), []
    for count, size in ((1, 3), (1, 1), (2, 3)):
        threads(count)
        maps.append(torch.cat([backbone(clips) for clips in frames.split(size)]))
    assert [torch.equal(each, maps[0]) for each in maps] == [True] * 3


def test_another_endpoint_has_its_own_digest(saved, frames):
    shallow, deep = (load_backbone("resnet18", saved, endpoint) for endpoint in ("layer2", "layer4"))
    assert (shallow.name, shallow.endpoint, shallow.weights) == ("resnet18", "layer2", "resnet18.pth")
    assert shallow.weights_digest != deep.weights_digest
    assert shallow(frames).shape == (3, 2, 8, 8, 128)


def test_weights_and_endpoints_that_do_not_fit_are_named(saved, tmp_path, network):
    with pytest.raises(LookupError, match=r"resnet18 has no node 'Mixed_4c'"):
        load_backbone("resnet18", saved, "Mixed_4c")
    with pytest.raises(LookupError, match=r"resnet50 has no weights.*--weights"):
        load_backbone("resnet50")
    with pytest.raises(ValueError, match=r"resnet18.pth: wanted .* got .* missing"):
        load_backbone("resnet50", saved)
    torch.save({**network.state_dict(), "extra": torch.zeros(1)}, tmp_path / "more.pth")
    with pytest.raises(ValueError, match=r"1 left over: extra"):
        load_backbone("resnet18", tmp_path / "more.pth")
