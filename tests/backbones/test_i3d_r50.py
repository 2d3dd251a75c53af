"""ResNet-50 inflated: the paper's shapes and size, made weights under the public names."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import resnet50

from stvr.backbones import load_backbone
from stvr.backbones.i3d_r50 import ResNet50
from stvr.structures import ClipSpec, MapSpec


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return ResNet50().eval()


@pytest.fixture(scope="module")
def weights(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("i3d_r50") / "i3d_r50.safetensors"
    save_file(network.state_dict(), path)
    return path


def test_the_last_map_of_the_papers_clip_has_2048_channels_of_16_x_14_x_14():
    with torch.device("meta"):  # shapes alone
        assert ResNet50("blocks.5")(torch.empty(1, 3, 32, 224, 224)).shape == (1, 2048, 16, 14, 14)


def test_it_has_28_million_weights_with_kinetics_400_classes(network):
    """Those of ResNet-50, and what its 3 x 1 x 1 and 5 x 7 x 7 convolutions add (28.0 M: Lin et al. 2019)."""
    flat = sum(weight.numel() for name, weight in resnet50().named_parameters() if not name.startswith("fc"))
    inflated = [64 * 64, *[256 * 64] * 2, 256 * 128, 512 * 128, 512 * 256, *[1024 * 256] * 2, 2048 * 512]
    added = 2 * sum(inflated) + 4 * 7 * 7 * 3 * 64
    found = sum(weight.numel() for weight in network.parameters())
    assert found == flat + added + 2048 * 400 + 400
    assert round(found / 1e6, 1) == 28.0


def test_pictures_that_stand_still_give_what_resnet_50_gives():
    """With its weights in the middle of each convolution over time, and its last stride taken away."""
    torch.manual_seed(0)
    flat, video = resnet50().eval(), ResNet50("blocks.5").eval()
    flat.layer4[0].conv2.stride = flat.layer4[0].downsample[0].stride = (1, 1)
    stages = zip((1, 3, 4, 5), (flat.layer1, flat.layer2, flat.layer3, flat.layer4), strict=True)
    pairs = [(video.blocks[0].conv, flat.conv1)]
    for number, layer in stages:
        for ours, theirs in zip(video.blocks[number].res_blocks, layer, strict=True):
            branch = ours.branch2
            pairs += [(branch.conv_a, theirs.conv1), (branch.conv_b, theirs.conv2), (branch.conv_c, theirs.conv3)]
            pairs += [(ours.branch1_conv, theirs.downsample[0])] if theirs.downsample else []
    for ours, theirs in pairs:
        torch.nn.init.zeros_(ours.weight)
        ours.weight.data[:, :, ours.kernel_size[0] // 2] = theirs.weight.data
    picture = torch.randn(1, 3, 48, 32)
    wanted = torch.nn.Sequential(*list(flat.children())[:-2])(picture)
    found = video(picture[:, :, None].expand(-1, -1, 2, -1, -1))
    assert found.shape[2:] == (1, 3, 2)
    torch.testing.assert_close(found[:, :, 0], wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("endpoint", "stride", "channels"), [(None, 16, 2048), ("res3", 8, 512)])
def test_it_is_a_backbone_by_name(weights, endpoint, stride, channels):
    backbone = load_backbone("i3d_r50", weights, endpoint, precision="float32")
    assert backbone.map_specs(ClipSpec(image_size=64)) == (MapSpec(endpoint or "res5", stride, 4, channels),)


def test_what_does_not_fit_is_said_in_one_line(weights, tmp_path):
    with pytest.raises(LookupError, match=r"no endpoint 'layer4'.*Choose one of res2, res3, res4, res5"):
        load_backbone("i3d_r50", weights, "layer4")
    with pytest.raises(LookupError, match="no weights of its own"):
        load_backbone("i3d_r50")
    save_file({"conv1.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="wanted the weights of this network, got 265 missing"):
        load_backbone("i3d_r50", tmp_path / "other.safetensors")
