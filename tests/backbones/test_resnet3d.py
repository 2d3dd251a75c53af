"""The 3D ResNets: the published sizes, what torchvision computes with the same numbers, made checkpoints by name."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import resnet18, resnet50
from torchvision.models.video import r3d_18

from stvr.backbones import load_backbone
from stvr.backbones.resnet3d import DEPTHS, ResNet3d, Shape
from stvr.structures import ClipSpec, MapSpec

BLOCKS = {10: 1111, 18: 2222, 34: 3463, 50: 3463}  # of He et al. 2016, table 1; 10: one of each


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Of depth 10, an eighth as wide, made."""
    torch.manual_seed(0)
    return saved(ResNet3d(Shape(10, width=8)), tmp_path_factory.mktemp("r3d") / "r3d10_K_200ep.pth")


def saved(network: nn.Module, path, arch: str = "resnet-18", prefix: str = "module."):
    """A checkpoint as 3D-ResNets-PyTorch writes it, from several GPUs."""
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [50, 100])
    state = {f"{prefix}{name}": value for name, value in network.state_dict().items()}
    content = {"epoch": 200, "arch": arch, "state_dict": state, "optimizer": optimizer.state_dict(),
               "scheduler": scheduler.state_dict()}  # fmt: skip
    torch.save(content, path)
    return path


def by_hand(blocks: str, bottleneck: bool, classes: int) -> int:
    """Weights of a network with 64 channels, counted layer by layer as the paper's table has them."""
    total, channels = 3 * 64 * 7 * 7 * 7 + 2 * 64, 64
    for number, count in enumerate(blocks):
        width = 64 << number
        out = 4 * width if bottleneck else width
        for index in range(int(count)):
            inner = (channels * width + 27 * width**2 + width * out + 2 * (2 * width + out) if bottleneck
                     else 27 * (channels * width + width**2) + 4 * width)  # fmt: skip
            shortcut = channels * out + 2 * out if index == 0 and (number or channels != out) else 0
            total, channels = total + inner + shortcut, out
    return total + channels * classes + classes


@pytest.mark.parametrize("depth", list(BLOCKS))
def test_a_network_with_700_classes_has_the_published_number_of_weights(depth):
    with torch.device("meta"):
        network = ResNet3d(Shape(depth))
    assert sum(each.numel() for each in network.parameters()) == by_hand(str(BLOCKS[depth]), depth >= 50, 700)


def test_depth_18_is_torchvisions_with_another_stem():
    """Whose stem reaches over 3 frames instead of 7."""
    theirs = sum(each.numel() for each in r3d_18(num_classes=700).parameters())
    assert by_hand("2222", False, 700) == theirs + 3 * 64 * 7 * 7 * 4


@pytest.mark.parametrize(("depth", "convolutions"), [(101, 99), (152, 150), (200, 198)])
def test_the_deep_ones_have_as_many_convolutions_as_their_name_says(depth, convolutions):
    """A network of depth d has d - 2 convolutions in its blocks, one before them and one layer after them."""
    with torch.device("meta"):
        names = ResNet3d(Shape(depth)).state_dict()
    found = [name for name in names if name.startswith("layer") and ".conv" in name]
    assert len(found) == convolutions
    assert DEPTHS[depth][0]


@torch.no_grad()
def test_basic_blocks_give_what_torchvisions_give():
    torch.manual_seed(0)
    ours, theirs = ResNet3d(Shape(18)).eval(), r3d_18(num_classes=700).eval()
    theirs.stem = nn.Sequential(ours.conv1, ours.bn1, nn.ReLU(), nn.MaxPool3d(3, 2, 1))
    names = {".conv1.weight": ".conv1.0.weight", ".conv2.weight": ".conv2.0.weight", ".bn1.": ".conv1.1.",
             ".bn2.": ".conv2.1."}  # fmt: skip
    for name, value in ours.state_dict().items():
        for our, their in names.items():
            name = name.replace(our, their)
        if name.startswith(("layer", "fc")):
            theirs.state_dict()[name].copy_(value)
    clip = torch.randn(1, 3, 9, 36, 45)
    torch.testing.assert_close(ours(clip), theirs(clip), rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(("depth", "network"), [(18, resnet18), (50, resnet50)])
def test_pictures_that_stand_still_give_what_flat_networks_give(depth, network):
    """With their weights in the middle of each convolution over time."""
    torch.manual_seed(0)
    flat, video = network(num_classes=700).eval(), ResNet3d(Shape(depth)).eval()
    for name, value in video.state_dict().items():
        given = flat.state_dict()[name]
        if given.ndim == 4:
            value.zero_()[:, :, value.shape[2] // 2] = given
        else:
            value.copy_(given)
    picture = torch.randn(1, 3, 40, 33)
    found = video(picture[:, :, None].expand(-1, -1, 3, -1, -1))
    torch.testing.assert_close(found, flat(picture), rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_a_padded_shortcut_keeps_every_other_cell_and_adds_channels_of_zeros():
    torch.manual_seed(0)
    network = ResNet3d(Shape(10, projected=False), "layer2").eval()
    nn.init.zeros_(network.layer2[0].bn2.weight)  # nothing but the shortcut is left
    maps = torch.rand(2, 64, 5, 4, 7)
    found = network.layer2(maps)
    assert torch.equal(found[:, :64], maps[:, :, ::2, ::2, ::2])
    assert not found[:, 64:].any()


@pytest.mark.parametrize(("name", "endpoint", "steps", "stride", "channels"), [
    ("resnet3d_10", None, 1, 16, 32),
    ("resnet3d_10", "layer1", 4, 4, 8),
    ("resnet3d_10", "layer4", 1, 32, 64),
    ("resnet3d_no_max_pool", None, 2, 8, 32),
    ("resnet3d_conv1_t_stride_2_no_max_pool", "layer2", 2, 4, 16),
])  # fmt: skip
def test_a_checkpoint_of_several_gpus_is_a_backbone_by_name(weights, name, endpoint, steps, stride, channels):
    backbone = load_backbone(name, weights, endpoint, precision="float32")
    wanted = MapSpec(endpoint or "layer3", stride, steps, channels)
    assert backbone.map_specs(ClipSpec(image_size=64)) == (wanted,)


@torch.no_grad()
def test_colours_are_normalised_as_that_program_does(tmp_path):
    torch.manual_seed(0)
    network = ResNet3d(Shape(10, width=8)).eval()
    backbone = load_backbone("resnet3d_10", saved(network, tmp_path / "r.pth"), "layer2", precision="float32")
    frames = torch.randint(256, (2, 8, 32, 48, 3), dtype=torch.uint8)
    mean, deviation = torch.tensor([0.4345, 0.4051, 0.3775]), torch.tensor([0.2768, 0.2713, 0.2737])
    maps = ((frames / 255 - mean) / deviation).movedim(-1, 1)
    maps = torch.max_pool3d(network.bn1(network.conv1(maps)).relu(), 3, 2, 1)
    wanted = network.layer2(network.layer1(maps)).movedim(1, -1)
    torch.testing.assert_close(backbone(frames), wanted, rtol=1e-4, atol=1e-5)


def test_shortcuts_stem_and_width_are_told_from_the_file(tmp_path):
    """And batch counters, which files of 2017 do not have, may be absent."""
    torch.manual_seed(0)
    network = ResNet3d(Shape(10, stem_frames=3, projected=False, width=32, classes=51)).eval()
    state = {name: value for name, value in network.state_dict().items() if "num_batches" not in name}
    torch.save(state, tmp_path / "own.pth")
    backbone = load_backbone("resnet3d_10", tmp_path / "own.pth", precision="float32")
    assert backbone.map_specs(ClipSpec(image_size=64)) == (MapSpec("layer3", 16, 1, 128),)


def test_what_does_not_fit_is_said_in_one_line(weights, tmp_path):
    with pytest.raises(ValueError, match=r"of depth 34, got basic blocks 1, 1, 1, 1, which is depth 10\. Give --back"):
        load_backbone("resnet3d_34", weights)
    with pytest.raises(LookupError, match=r"no endpoint 'layer5'.*Choose one of layer1, layer2, layer3, layer4"):
        load_backbone("resnet3d_10", weights, "layer5")
    with pytest.raises(LookupError, match="no weights of its own"):
        load_backbone("resnet3d_10")
    torch.save(resnet18().state_dict(), tmp_path / "flat.pth")
    with pytest.raises(ValueError, match="another network, whose convolutions are flat: an image network"):
        load_backbone("resnet3d_10", tmp_path / "flat.pth")
    torch.save(r3d_18().state_dict(), tmp_path / "torchvision.pth")
    with pytest.raises(ValueError, match=r"got those of another network. Give its own --backbone"):
        load_backbone("resnet3d_10", tmp_path / "torchvision.pth")
    state = ResNet3d(Shape(10, width=8)).state_dict()
    state["conv1.weight"] = state["conv1.weight"][:, :2]
    torch.save(state, tmp_path / "flow.pth")
    with pytest.raises(ValueError, match="reads 3 colours, got one that reads 2 values a pixel"):
        load_backbone("resnet3d_10", tmp_path / "flow.pth")
    state = ResNet3d(Shape(10, width=8)).state_dict() | {"layer2.0.conv2.weight": torch.zeros(16, 16, 3, 3)}
    torch.save(state, tmp_path / "mixed.pth")
    with pytest.raises(ValueError, match=r"got 1 of another shape: layer2.0.conv2.weight"):
        load_backbone("resnet3d_10", tmp_path / "mixed.pth")
